package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/evercred/evercred/internal/issuer"
)

// terminal is a pseudo-terminal, and what was shown on it.
type terminal struct {
	master, slave *os.File
	done          chan struct{}

	mu    sync.Mutex
	shown bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there is no pseudo-terminal: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	x := &terminal{master: master, slave: slave, done: make(chan struct{})}
	go func() {
		defer close(x.done)
		_, _ = io.Copy(x, master) // ends with EIO when the last slave is closed
	}()
	t.Cleanup(func() { master.Close(); <-x.done })
	return x
}

func (x *terminal) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.Write(p)
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.ReplaceAll(x.shown.String(), "\r\n", "\n")
}

// run starts a command in the foreground of the terminal.
func (x *terminal) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = x.slave, x.slave, x.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	must(t, x.slave.Close())
}

func (x *terminal) await(t *testing.T, p *place, text string) {
	t.Helper()
	p.await(t, fmt.Sprintf("%q", text), func() bool { return strings.Contains(x.text(), text) })
}

// TestExecAtATerminal: Ctrl-C reaches the command once, not twice.
func TestExecAtATerminal(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("fresh"))
	x := newTerminal(t)
	cmd := p.command(t, "exec", "--", "sh", "-c", `trap 'echo got' INT; trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done`)
	x.run(t, cmd)
	x.await(t, p, "ready")
	_, err := x.master.Write([]byte{3}) // Ctrl-C
	must(t, err)
	x.await(t, p, "got")
	// What is passed on later comes later: a second INT would have been shown.
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	x.await(t, p, "bye")
	if n := strings.Count(x.text(), "got"); n != 1 {
		t.Errorf("the command got %d interrupts:\n%s", n, x.text())
	}
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

// TestProgressAtATerminal: a long wait says what it is for, a second Ctrl-C how
// long it still takes, and the command dies of the signal all the same.
func TestProgressAtATerminal(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("expired"))
	hang, release := issuer.Hang(issuer.Committed)
	p.endpoint.Script(1, hang)
	x := newTerminal(t)
	cmd := p.command(t, "token")
	x.run(t, cmd)
	x.await(t, p, "evercred: refreshing…\n")

	waiter := newTerminal(t)
	second := p.command(t, "token")
	waiter.run(t, second)
	waiter.await(t, p, fmt.Sprintf("evercred: waiting for pid %d", cmd.Process.Pid))

	p.await(t, "the answer to a second interrupt", func() bool {
		_, err := x.master.Write([]byte{3}) // two at once may count as one
		must(t, err)
		return strings.Contains(x.text(), "without its answer the login is lost; it is awaited for")
	})
	release()
	_ = cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
	_ = second.Wait()
	access, err := p.access()
	must(t, err)
	waiter.await(t, p, access+"\n")
	if strings.Contains(x.text(), access) {
		t.Error("the interrupted command printed the token")
	}
	if p.endpoint.Grants() != 1 {
		t.Errorf("%d grants", p.endpoint.Grants())
	}
}

// TestStatusColours: on a terminal only, and not for those who object.
func TestStatusColours(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("fresh"))
	for _, objection := range []string{"", "NO_COLOR=1", "TERM=dumb"} {
		x := newTerminal(t)
		cmd := p.command(t, "status")
		cmd.Env = append(cmd.Env, objection)
		x.run(t, cmd)
		must(t, cmd.Wait())
		x.await(t, p, "ledger")
		if coloured := strings.Contains(x.text(), "\x1b[32mfresh\x1b[0m"); coloured != (objection == "") {
			t.Errorf("with %q: %q", objection, x.text())
		}
	}
}

// TestNoCore: nothing of our memory gets into a core file (guarantee 5), and
// the command of exec is not concerned. A process that may not be dumped
// belongs to root in /proc.
func TestNoCore(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	const uid = 4711
	p, err := newPlace(filepath.Join(openDir(t), "home"))
	must(t, err)
	defer p.endpoint.Close()
	must(t, p.store("fresh"))
	must(t, filepath.WalkDir(p.home, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, uid)
	}))
	r := p.follow(t, "exec", "--", "true") // only for its environment
	r.ended(t)
	cmd := exec.Command(readable(t, "evercred"), "exec", "--", "sh", "-c", "echo $$; read x")
	cmd.Env = r.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	var child int
	_, err = fmt.Fscan(out, &child)
	must(t, err)
	for pid, want := range map[int]uint32{cmd.Process.Pid: 0, child: uid} {
		info, err := os.Stat(filepath.Join("/proc", itoa(pid), "environ"))
		must(t, err)
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("pid %d (we are %d): its memory belongs to %d, want %d", pid, cmd.Process.Pid, got, want)
		}
	}
	must(t, in.Close())
	_ = cmd.Wait()
}

// openDir is a directory that everybody may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "evercred-open-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// readable copies a command to where everybody may run it.
func readable(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	must(t, err)
	b, err := os.ReadFile(path)
	must(t, err)
	to := filepath.Join(openDir(t), name)
	must(t, os.WriteFile(to, b, 0o755))
	return to
}

// TestWaitAtATerminal: wait says what it waits for, follows what the owner
// writes, and ends at once by a signal.
func TestWaitAtATerminal(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("fresh"))
	for _, step := range []struct {
		change func() error
		says   string
	}{
		{func() error { return p.store("expired") }, "waiting for another token: the login is fresh…"},
		{func() error { return p.store("blanked") }, "waiting for another token: the login is expired…"},
		{func() error { return p.store("fresh") }, "somebody has to log in again…"},
		{func() error { return os.Remove(p.file()) }, "waiting for another token: the login is fresh…"},
		{func() error { return p.store("fresh") }, "nobody is logged in yet…"},
	} {
		x := newTerminal(t)
		cmd := p.command(t, "wait", "--for", "change", "--timeout", "1m")
		x.run(t, cmd)
		x.await(t, p, step.says)
		must(t, step.change())
		must(t, cmd.Wait())
		if secret := p.leaks(x.text()); secret != "" {
			t.Errorf("a secret was shown: %q", x.text())
		}
	}
	for sig, end := range map[syscall.Signal]func(*terminal, *exec.Cmd) error{
		syscall.SIGINT:  func(x *terminal, _ *exec.Cmd) error { _, err := x.master.Write([]byte{3}); return err },
		syscall.SIGTERM: func(_ *terminal, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) },
	} {
		x := newTerminal(t)
		cmd := p.command(t, "wait", "--for", "change", "--timeout", "1m")
		x.run(t, cmd)
		x.await(t, p, "waiting for another token")
		must(t, end(x, cmd))
		_ = cmd.Wait()
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != sig {
			t.Errorf("after %v it ended with %v", sig, cmd.ProcessState)
		}
	}
	if p.endpoint.Requests() != 0 {
		t.Errorf("%d requests", p.endpoint.Requests())
	}
}
