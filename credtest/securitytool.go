package credtest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The exit codes of the real program: the low byte of an OSStatus.
const (
	exitNoInteraction = 36 // errSecInteractionNotAllowed, -25308
	exitNotFound      = 44 // errSecItemNotFound, -25300
	exitDuplicate     = 45 // errSecDuplicateItem, -25299
	exitUsage         = 2
)

// securityBuffer is the real program's line buffer, filled by fgets: a longer
// line is cut one byte short of it, and what follows is taken for the next line.
const securityBuffer = 4096

// securityTool is the stand-in's process.
type securityTool struct {
	dir         string
	wrong       SecurityBehaviour
	stdin       io.Reader
	out, errors io.Writer
}

// runSecurity is main of the stand-in.
func runSecurity(dir string, args, env []string) int {
	s := &securityTool{dir: dir, stdin: os.Stdin, out: os.Stdout, errors: os.Stderr}
	b, err := os.ReadFile(filepath.Join(dir, behaviourFile))
	if err == nil {
		err = json.Unmarshal(b, &s.wrong)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return complain("security", err)
	}
	if s.wrong.Deaf {
		signal.Ignore(syscall.SIGTERM)
	}
	if err := s.note(args, env); err != nil {
		return complain("security", err)
	}
	if len(args) == 1 && args[0] == "-i" {
		return s.interactive()
	}
	return s.command(args)
}

// note keeps what another process could see of this one.
func (s *securityTool) note(args, env []string) error {
	call := SecurityCall{Args: args}
	for _, v := range env {
		if !strings.HasPrefix(v, securityVar) {
			call.Env = append(call.Env, v)
		}
	}
	b, err := json.Marshal(call)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, callsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

// interactive runs a command for each line. What becomes of it shows in no
// exit code.
func (s *securityTool) interactive() int {
	in := bufio.NewReader(s.stdin)
	for {
		line, err := fgets(in, securityBuffer)
		if args := splitLine(line); len(args) > 0 {
			s.command(args)
		}
		if err != nil {
			return 0
		}
	}
}

// fgets reads up to a newline or size-1 bytes, like C's.
func fgets(in *bufio.Reader, size int) (string, error) {
	var line []byte
	for len(line) < size-1 {
		c, err := in.ReadByte()
		if err != nil {
			return string(line), err
		}
		line = append(line, c)
		if c == '\n' {
			break
		}
	}
	return string(line), nil
}

// splitLine splits like the real one: single and double quotes, and a backslash
// that keeps the next byte, inside quotes and outside.
func splitLine(line string) []string {
	var args []string
	var arg []byte
	started, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line):
			i++
			arg, started = append(arg, line[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, started = c, true
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if started {
				args = append(args, string(arg))
			}
			arg, started = nil, false
		default:
			arg, started = append(arg, c), true
		}
	}
	if started {
		args = append(args, string(arg))
	}
	return args
}

func (s *securityTool) fail(code int, text string) int {
	fmt.Fprintf(s.errors, "security: %s\n", text)
	return code
}

func (s *securityTool) command(args []string) int {
	if len(args) == 0 {
		return s.fail(exitUsage, "usage: security [-hilqv] [-p prompt] [command] [opt ...]")
	}
	flags, ok := parseFlags(args[1:])
	switch {
	case args[0] == "find-generic-password" && ok:
		return s.find(flags)
	case args[0] == "add-generic-password" && ok:
		return s.add(flags)
	}
	return s.fail(exitUsage, "unknown command or option")
}

// itemFlags are the options that both commands take here.
type itemFlags struct {
	account, service string
	value            []byte
	given            map[byte]bool
}

// parseFlags reads options like getopt; -w takes a value only where a write
// would, and is a switch here: our own writes use -X.
func parseFlags(args []string) (itemFlags, bool) {
	f := itemFlags{given: map[byte]bool{}}
	for i := 0; i < len(args); i++ {
		if len(args[i]) != 2 || args[i][0] != '-' {
			return f, false
		}
		c := args[i][1]
		f.given[c] = true
		if strings.IndexByte("asX", c) < 0 {
			if c != 'w' && c != 'U' {
				return f, false
			}
			continue
		}
		i++
		if i == len(args) {
			return f, false
		}
		switch c {
		case 'a':
			f.account = args[i]
		case 's':
			f.service = args[i]
		case 'X':
			digits := args[i][:len(args[i])&^1] // half a byte is dropped
			b, err := hex.DecodeString(digits)
			if err != nil {
				return f, false
			}
			f.value = b
		}
	}
	return f, f.given['a'] && f.given['s']
}

// misbehaves says what is wrong with this command.
func (s *securityTool) misbehaves(f itemFlags) SecurityBehaviour {
	if s.wrong.OnlyService != "" && s.wrong.OnlyService != f.service {
		return SecurityBehaviour{}
	}
	return s.wrong
}

func (s *securityTool) find(f itemFlags) int {
	wrong := s.misbehaves(f)
	if wrong.Hang {
		hang()
	}
	if wrong.FindExit != 0 {
		return s.fail(wrong.FindExit, "SecKeychainSearchCopyNext: an error of the test.")
	}
	value, err := os.ReadFile(itemPath(s.dir, f.service, f.account))
	if errors.Is(err, fs.ErrNotExist) { // that there is none shows in a locked keychain, too
		return s.fail(exitNotFound, "SecKeychainSearchCopyNext: The specified item could not be found in the keychain.")
	}
	if err != nil {
		return s.fail(1, err.Error())
	}
	if !f.given['w'] {
		fmt.Fprintf(s.out, "keychain: \"stand-in\"\nclass: \"genp\"\nattributes:\n    \"acct\"<blob>=%q\n    \"svce\"<blob>=%q\n", f.account, f.service)
		return 0
	}
	if wrong.Locked {
		return s.fail(exitNoInteraction, "SecKeychainItemCopyContent: User interaction is not allowed.")
	}
	if wrong.Output != nil {
		s.out.Write(wrong.Output)
		return 0
	}
	if bytes.ContainsFunc(value, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		value = hex.AppendEncode(nil, value)
	}
	s.out.Write(append(value, '\n'))
	return 0
}

func (s *securityTool) add(f itemFlags) int {
	wrong := s.misbehaves(f)
	if wrong.Hang || wrong.HangAdd {
		hang()
	}
	if wrong.Locked {
		return s.fail(exitNoInteraction, "SecKeychainItemModifyContent: User interaction is not allowed.")
	}
	if wrong.LoseAdds {
		return 0
	}
	path := itemPath(s.dir, f.service, f.account)
	if f.given['U'] {
		if err := replaceFile(path, f.value); err != nil {
			return s.fail(1, err.Error())
		}
		return 0
	}
	if err := createFile(path, f.value); err != nil {
		return s.fail(exitDuplicate, "SecKeychainItemCreateFromContent (<default>): The specified item already exists in the keychain.")
	}
	return 0
}

// createFile is replaceFile where there must be none.
func createFile(path string, b []byte) error {
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := replaceFile(fresh, b); err != nil {
		return err
	}
	return errors.Join(os.Link(fresh, path), os.Remove(fresh))
}

// hang waits for an answer to a prompt that nobody sees.
func hang() {
	time.Sleep(10 * time.Minute) // longer than any test, and not for ever if it is forgotten
	os.Exit(1)
}
