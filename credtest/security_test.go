//go:build unix

package credtest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run is the exit code and the output.
func (s *Security) run(stdin string, args ...string) (int, string) {
	s.t.Helper()
	cmd := s.Command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func add(service, value string) string {
	return fmt.Sprintf("add-generic-password -U -a \"me\" -s \"%s\" -X %x\n", service, value)
}

// What INTEROP §7 says of the real program.
func TestSecurityFinds(t *testing.T) {
	s := NewSecurity(t)
	find := func() (int, string) { return s.run("", "find-generic-password", "-a", "me", "-w", "-s", "a service") }
	expect := func(what string, code int, out string) {
		t.Helper()
		if c, o := find(); c != code || o != out {
			t.Errorf("%s: %d %q, want %d %q", what, c, o, code, out)
		}
	}
	expect("absent", 44, "")
	s.Set("a service", "me", []byte(`{"a":1}`))
	expect("printable", 0, "{\"a\":1}\n")
	for _, value := range []string{"{\n}", "{\"\u00e9\":1}", "\xff"} {
		s.Set("a service", "me", []byte(value))
		expect("not printable", 0, hex.EncodeToString([]byte(value))+"\n")
	}
	s.Behave(SecurityBehaviour{Locked: true})
	expect("locked", 36, "")
	s.Set("a service", "me", nil)
	expect("absent and locked", 44, "")
	s.Behave(SecurityBehaviour{FindExit: 51, OnlyService: "another"})
	expect("another misbehaves", 44, "")
	s.Behave(SecurityBehaviour{FindExit: 51})
	expect("unknown", 51, "")
	if c, _ := s.run("", "delete-generic-password", "-a", "me"); c != 2 {
		t.Errorf("an unknown command: %d", c)
	}
}

func TestSecurityAdds(t *testing.T) {
	s := NewSecurity(t)
	if c, _ := s.run(add("s", "one"), "-i"); c != 0 || string(s.Get("s", "me")) != "one" {
		t.Errorf("%d %q", c, s.Get("s", "me"))
	}
	if s.run(add("s", "two"), "-i"); string(s.Get("s", "me")) != "two" {
		t.Errorf("-U: %q", s.Get("s", "me"))
	}
	argv := []string{"add-generic-password", "-a", "me", "-s", "s", "-X", "61"}
	if c, _ := s.run("", argv...); c != 45 || string(s.Get("s", "me")) != "two" {
		t.Errorf("a duplicate: %d %q", c, s.Get("s", "me"))
	}
	argv[4] = "fresh"
	if c, _ := s.run("", argv...); c != 0 || string(s.Get("fresh", "me")) != "a" {
		t.Errorf("%d %q", c, s.Get("fresh", "me"))
	}
	// Two lines, quotes, and failures that show nowhere.
	script := "nonsense\n" + `add-generic-password -U -a "a\"b\\c" -s 'it is' -X 62` + "\n" + add("s", "three")
	if c, _ := s.run(script, "-i"); c != 0 || string(s.Get("it is", `a"b\c`)) != "b" || string(s.Get("s", "me")) != "three" {
		t.Errorf("%d %q %q", c, s.Get("it is", `a"b\c`), s.Get("s", "me"))
	}
	s.Behave(SecurityBehaviour{Locked: true})
	if c, _ := s.run(add("s", "four"), "-i"); c != 0 || string(s.Get("s", "me")) != "three" {
		t.Errorf("locked: %d %q", c, s.Get("s", "me"))
	}
	s.Behave(SecurityBehaviour{LoseAdds: true})
	if c, _ := s.run(add("s", "four"), "-i"); c != 0 || string(s.Get("s", "me")) != "three" {
		t.Errorf("lost: %d %q", c, s.Get("s", "me"))
	}
}

// The buffer cuts a line silently, at the same byte each time.
func TestSecurityCutsLongLines(t *testing.T) {
	s := NewSecurity(t)
	room := (4095 - len(add("s", ""))) / 2
	for _, n := range []int{room - 1, room, room + 1, room + 2, 3 * room} {
		value := strings.Repeat("v", n)
		if c, _ := s.run(add("s", value), "-i"); c != 0 {
			t.Errorf("%d bytes: exit %d", n, c)
		}
		got := string(s.Get("s", "me"))
		if n <= room && got != value {
			t.Errorf("%d bytes were cut to %d", n, len(got))
		}
		if n > room+1 && (got == value || !strings.HasPrefix(value, got)) {
			t.Errorf("%d bytes were not cut: %d", n, len(got))
		}
	}
}

// A prompt that never comes back ends with TERM, unless it is deaf.
func TestSecurityHangs(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		s := NewSecurity(t)
		s.Behave(SecurityBehaviour{Hang: true, Deaf: deaf})
		cmd := s.Command("find-generic-password", "-a", "me", "-w", "-s", "s")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); len(s.Calls()) == 0 && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond) // it has read its behaviour when it has noted its call
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if deaf {
			cmd.Process.Signal(syscall.SIGINT)
		}
		cmd.Wait()
		if ended := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); deaf != (ended == syscall.SIGINT) || !deaf && ended != syscall.SIGTERM {
			t.Errorf("deaf %v: ended by %v", deaf, ended)
		}
	}
}

// The calls are what another process could see.
func TestSecurityNotesItsCalls(t *testing.T) {
	s := NewSecurity(t)
	cmd := s.Command("find-generic-password", "-a", "x", "-s", "y")
	cmd.Env = []string{"SEEN=1"}
	cmd.Run()
	s.run(add("s", "secret"), "-i")
	calls := s.Calls()
	if len(calls) != 2 || strings.Join(calls[0].Args, " ") != "find-generic-password -a x -s y" || strings.Join(calls[1].Args, " ") != "-i" {
		t.Fatalf("%q", calls)
	}
	if env := strings.Join(calls[0].Env, "\n"); !strings.Contains(env, "SEEN=1") || strings.Contains(env, securityVar) {
		t.Errorf("%q", env)
	}
}
