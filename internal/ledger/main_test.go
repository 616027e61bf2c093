//go:build unix

package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
)

// childMode in the environment makes the test binary one of the processes below.
const childMode = "EVERCRED_LEDGER_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := child(mode, os.Args[1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child is one process on the ledger of dir/doc.
func child(mode, dir string) error {
	l := Open(dir, "doc", real())
	switch mode {
	case "try":
		g, err := l.TryGuard()
		if err == nil {
			err = g.Release()
		}
		fmt.Println(outcome(err))
	case "hold": // until killed, or until standard input ends
		g, err := l.TryGuard()
		if err != nil {
			return err
		}
		if err := g.Record([]Stamp{{Path: "lock", Ino: 7, Time: time.Unix(1, 0)}}); err != nil {
			return err
		}
		r, err := g.Begin(Intent{Refresh: "r", Access: "a"})
		if err != nil {
			return err
		}
		if err := errors.Join(r.MarkSending(time.Unix(5, 0)), r.Append([]byte("half an ans"))); err != nil {
			return err
		}
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
		return g.Release()
	case "storm":
		for range 60 {
			if err := alone(l, filepath.Join(dir, "oracle")); err != nil {
				return err
			}
		}
		fmt.Println("ok")
	}
	return nil
}

// outcome names the error that a test asks for.
func outcome(err error) string {
	for name, is := range map[string]error{"held": ErrHeld, "owner": ErrOwner, "newer": ErrNewer, "planted": ErrPlanted} {
		if errors.Is(err, is) {
			return name
		}
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return "ok"
}

// alone takes the guard and asks an oracle that knows nothing of locks whether
// it is alone.
func alone(l *Ledger, oracle string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	g, err := l.Guard(ctx)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(oracle, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("not alone: %w", err)
	}
	f.Close()
	if err := os.Remove(oracle); err != nil {
		return fmt.Errorf("not alone: %w", err)
	}
	return g.Release()
}

// process starts a child; lines are what it prints.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
	stdin io.Closer
}

func start(t *testing.T, binary, mode, dir string, uid int) *process {
	t.Helper()
	c := exec.Command(binary, dir)
	c.Env = []string{childMode + "=" + mode, "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	c.Dir = "/"
	if uid > 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	in, err := c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err)
	c.Stderr = os.Stderr
	must(t, c.Start())
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return &process{c, bufio.NewScanner(out), in}
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("the child ended: %v", p.lines.Err())
	}
	return p.lines.Text()
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	return exe
}

func real() seam.Seams { return (*seam.Seams)(nil).Filled() }

func on(disk fsys.FS) seam.Seams { return (&seam.Seams{FS: disk}).Filled() }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func hold(t *testing.T, l *Ledger) *Guard {
	t.Helper()
	g, err := l.TryGuard()
	must(t, err)
	t.Cleanup(func() { g.Release() })
	return g
}

// tree lists what is below dir, with modes.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		i, err := d.Info()
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%v %s\n", i.Mode(), rel)
		return err
	}))
	return b.String()
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}
