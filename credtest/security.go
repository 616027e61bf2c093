package credtest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Security is a stand-in for macOS's /usr/bin/security with a keychain of its
// own in a temporary directory: find-generic-password, add-generic-password and
// -i, with the line buffer, the exit codes and the hexadecimal output of the
// real one (INTEROP §7; apple-oss-distributions/Security, SecurityTool).
//
// The program is the test binary again, so its TestMain must call [Main] or
// [Guard.Run], and must do so before it reads anything from the environment for
// children of its own. Unix only: elsewhere NewSecurity skips the test.
type Security struct {
	t   testing.TB
	dir string
}

// SecurityBehaviour is what the stand-in does wrong. The zero value is a
// keychain that is unlocked and works.
type SecurityBehaviour struct {
	// Locked: reading and writing secrets ends with 36, as over ssh.
	Locked bool
	// Hang: a prompt that never comes back, until TERM. HangAdd: for writes alone.
	// Deaf: it does not heed TERM either.
	Hang, HangAdd, Deaf bool
	// FindExit, if not 0, is how every read ends.
	FindExit int
	// Output, if not nil, is what every successful read writes instead of the item.
	Output []byte
	// LoseAdds: writes do nothing, and -i says nothing of it.
	LoseAdds bool
	// OnlyService restricts all this to items of one service; empty: all.
	OnlyService string
}

// NewSecurity makes one with an empty keychain.
func NewSecurity(t testing.TB) *Security {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for security is started by a shell script")
	}
	dir, err := os.MkdirTemp("", "evercred-security-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeBusy(t, dir) })
	self, err := os.Executable()
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "items"), 0o700)
	}
	if err == nil {
		// By a script, and so by a path alone: nothing has to be handed down to it.
		// (The race detector would hold each of its processes up for a second at its end.)
		script := fmt.Sprintf("#!/bin/sh\nexport %s='%s' GORACE=atexit_sleep_ms=0\nexec '%s' \"$@\"\n", securityVar, dir, self)
		err = os.WriteFile(filepath.Join(dir, "security"), []byte(script), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Security{t: t, dir: dir}
}

// removeBusy removes a directory in which a process may still be at work: one that
// a probe has started, and nobody waits for.
func removeBusy(t testing.TB, dir string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		err := os.RemoveAll(dir)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Error(err)
			return
		}
	}
}

// Path is the program.
func (s *Security) Path() string { return filepath.Join(s.dir, "security") }

// Behave sets what it does wrong from now on.
func (s *Security) Behave(b SecurityBehaviour) {
	s.t.Helper()
	text, err := json.Marshal(b)
	if err == nil {
		err = replaceFile(filepath.Join(s.dir, behaviourFile), text)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Set makes an item, as its owner would; nil removes it.
func (s *Security) Set(service, account string, value []byte) {
	s.t.Helper()
	path := itemPath(s.dir, service, account)
	err := os.Remove(path)
	if value != nil {
		err = replaceFile(path, value)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
}

// Get is an item's value; nil: there is none.
func (s *Security) Get(service, account string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(itemPath(s.dir, service, account))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return b
}

// SecurityCall is one start of the program, as another process would see it.
type SecurityCall struct {
	Args []string // without the program's name
	Env  []string // without the stand-in's own
}

// Calls are all starts of the program so far, the first one first.
func (s *Security) Calls() []SecurityCall {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, callsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	var calls []SecurityCall
	for line := range strings.Lines(string(b)) {
		var c SecurityCall
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			s.t.Fatal(err)
		}
		calls = append(calls, c)
	}
	return calls
}

// Command runs it, for tests of its own and to play the owner.
func (s *Security) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.Path(), args...)
	cmd.Env = []string{}
	return cmd
}

// The files of the stand-in's directory.
const (
	behaviourFile = "behaviour.json"
	callsFile     = "calls"
)

// itemPath is where an item is kept, by service and account.
func itemPath(dir, service, account string) string {
	return filepath.Join(dir, "items", hex.EncodeToString([]byte(service))+"-"+hex.EncodeToString([]byte(account)))
}

// replaceFile writes a file in one step for every reader.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
