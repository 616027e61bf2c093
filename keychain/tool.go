package keychain

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/timing"
)

// tool is the program, and the only way to the keychain.
type tool struct {
	path  string
	env   []string
	times *timing.Protocol
}

// The exit codes that say something: the low bytes of errSecItemNotFound and
// errSecInteractionNotAllowed (INTEROP §7).
const (
	exitAbsent = 44
	exitLocked = 36
)

// maxOutput bounds what is read of one item.
const maxOutput = 32 << 20

// find reads an item.
func (t tool) find(ctx context.Context, i Item) ([]byte, error) {
	out, err := t.run(ctx, nil, "find-generic-password", "-a", i.Account, "-w", "-s", i.Service)
	if err != nil {
		return nil, explain(i, err)
	}
	return password(out), nil
}

// password is the item in the output of a read. What does not print comes as
// hexadecimal digits, and nothing says so but the digits. A document is a JSON
// object, and the digits of its braces are no JSON.
func password(out []byte) []byte {
	text := bytes.TrimSuffix(out, []byte{'\n'})
	if len(text)%2 == 0 && !json.Valid(text) {
		if b, err := hex.DecodeString(string(text)); err == nil {
			return b
		}
	}
	return text
}

// write puts data into an item, through standard input if it fits a line there,
// else as an argument. Whether it did, only a read can tell: the program reports
// no failure of a line.
func (t tool) write(ctx context.Context, i Item, data []byte) error {
	_, err := t.run(ctx, []byte(i.line("-U ", data)), "-i")
	return err
}

// writeArgv is write for a document of any size, seen by all who may list the
// processes of this user.
func (t tool) writeArgv(ctx context.Context, i Item, data []byte) error {
	_, err := t.run(ctx, nil, "add-generic-password", "-U", "-a", i.Account, "-s", i.Service, "-X", hex.EncodeToString(data))
	return err
}

// create makes an item where there is none.
func (t tool) create(ctx context.Context, i Item, data []byte) error {
	_, err := t.run(ctx, []byte(i.line("", data)), "-i")
	return err
}

// The most that can be written at once: a line of the program's buffer, which
// holds a zero byte at its end; and one argument, by the narrowest system.
const (
	maxLine = 4096 - 1
	maxArgv = 128<<10 - 1
)

// line is the command that puts data into an item, as -i reads it.
func (i Item) line(flags string, data []byte) string {
	return fmt.Sprintf("add-generic-password %s-a %s -s %s -X %s\n", flags, quote(i.Account), quote(i.Service), hex.EncodeToString(data))
}

// MaxLine is the size in bytes of the largest document that fits a line; below
// zero: not even the names do.
func (i Item) MaxLine() int { return (maxLine - len(i.line("-U ", nil))) / 2 }

// quote makes one word of s for -i: inside double quotes a backslash keeps the
// next byte. No line can hold a newline; check refuses that.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// check refuses names that cannot be written in a line or an argument.
func (i Item) check() error {
	if strings.ContainsAny(i.Service+i.Account, "\n\r\x00") {
		return errors.New("a name with a line break or a zero byte")
	}
	return nil
}

// exitError is how the program ended.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("security ended with %d", int(e)) }

var errSilent = errors.New("security did not answer in time; it may be waiting at a prompt that nobody sees")

// run starts the program and awaits it for Times.KeychainCall. Then it gets a
// TERM, and a KILL only if it does not heed that: it holds no lock, and what it
// asked of the keychain is done there or not at all.
func (t tool) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	limit, cancel := context.WithTimeout(ctx, t.times.KeychainCall)
	defer cancel()
	cmd := exec.CommandContext(limit, t.path, args...)
	cmd.Env = append([]string{}, t.env...) // nil would hand down our own, tokens included
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(stdin)
	out := capped{room: maxOutput}
	cmd.Stdout = &out
	cmd.SysProcAttr = procid.Apart()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = t.times.KeychainEnd
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limit.Err() != nil:
		return nil, errSilent
	case errors.As(err, &exit) && exit.Exited():
		return nil, exitError(exit.ExitCode())
	}
	return nil, err
}

// capped keeps what fits, and fails at what does not.
type capped struct {
	bytes.Buffer
	room int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.Len()+len(p) > c.room {
		return 0, errors.New("security wrote too much")
	}
	return c.Buffer.Write(p)
}
