//go:build unix

package dirlock

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
)

// The test binary is also its own other processes: role, directory, deadline.
const roleVariable = "DIRLOCK_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		f := strings.SplitN(role, " ", 3)
		until, err := time.Parse(time.RFC3339Nano, f[1])
		if err != nil {
			panic(err)
		}
		roles[f[0]](f[2], until)
		return
	}
	os.Exit(m.Run())
}

var roles = map[string]func(dir string, until time.Time){
	"npm": actAsNpm, "contend": contend, "hold": hold, "die": dieAfterMkdir, "stranger": stranger,
}

// child is another process.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	out io.ReadCloser
}

func spawn(t *testing.T, role, dir string, until time.Time) *child {
	exe, err := os.Executable()
	must(t, err)
	return start(t, exec.Command(exe), role, dir, until)
}

func start(t *testing.T, cmd *exec.Cmd, role, dir string, until time.Time) *child {
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", roleVariable, role, until.Format(time.RFC3339Nano), dir))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &child{t, cmd, out}
}

func (c *child) tally() (s tally) {
	must(c.t, json.NewDecoder(c.out).Decode(&s))
	must(c.t, c.cmd.Wait())
	return s
}

// tally is what a contender did.
type tally struct{ Entered, Adopted, Lost, Overlaps, Npm, Stalled int }

func (s *tally) add(o tally) {
	s.Entered += o.Entered
	s.Adopted += o.Adopted
	s.Lost += o.Lost
	s.Overlaps += o.Overlaps
	s.Npm += o.Npm
	s.Stalled += o.Stalled
}

// sections is how often each contender enters.
const sections = 4

// contend enters again and again. The watching is shortened, since here nobody
// beats; the settling is not by much. A scheduler's whims are made frequent: up
// to 15 ms pass between the last look at a dead lock and its taking over. (With
// no settling this overlaps several times a second.)
func contend(dir string, until time.Time) {
	times := timing.Default()
	times.Watch, times.TryMin, times.TryMax = 40*time.Millisecond, 2*time.Millisecond, 20*time.Millisecond
	times.Settle, times.SettleTakeover = 60*time.Millisecond, 120*time.Millisecond
	staging, err := os.MkdirTemp(dir, "staging")
	check(err)
	book := &notebook{staging: staging, random: int64(os.Getpid()), boot: "this-boot"}
	slow := &strangeFS{FS: fsys.OS{}}
	slow.onSetTime.set(func(fsys.File, *time.Time) error {
		<-time.After(rand.N(15 * time.Millisecond))
		return nil
	})
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	o, s := oracle{filepath.Join(dir, "oracle")}, tally{}
	for s.Entered < sections && ctx.Err() == nil {
		set, err := Acquire(ctx, book, seam.Seams{Times: &times, FS: slow}, Spec{Path: filepath.Join(dir, "x.lock")})
		if err != nil {
			continue
		}
		s.Entered++
		if set.adopted {
			s.Adopted++
		}
		if o.enter() {
			<-time.After(5 * time.Millisecond) // the section itself
			o.leave()
		} else {
			s.Overlaps++
		}
		if s.Entered%3 > 0 {
			abandon(set)
		} else if set.Release() != nil {
			s.Lost++
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(s))
}

// abandon leaves the locks as a process does that was killed an hour ago.
func abandon(s *Set) {
	close(s.stop)
	<-s.done
	for _, l := range s.locks {
		l.dir.SetTime(time.Now().Add(-time.Hour))
		l.dir.Close()
	}
}

// actAsNpm takes locks as proper-lockfile does: what is older than ten seconds is
// removed and made anew, and freed, without a look at whose it is.
func actAsNpm(dir string, until time.Time) {
	path, s := filepath.Join(dir, "x.lock"), tally{}
	for time.Now().Before(until) && !stopped(dir) {
		began := time.Now()
		if npmLocks(path) {
			s.Npm++
			if time.Since(began) > 50*time.Millisecond {
				s.Stalled++
			}
			<-time.After(5 * time.Millisecond)
			os.Remove(path)
		}
		<-time.After(20*time.Millisecond + rand.N(180*time.Millisecond))
	}
	check(json.NewEncoder(os.Stdout).Encode(s))
}

// stopped: the contenders have ended.
func stopped(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "stop"))
	return err == nil
}

func npmLocks(path string) bool {
	if os.Mkdir(path, 0o755) == nil {
		return true
	}
	i, err := os.Lstat(path)
	if err != nil || time.Since(i.ModTime()) < 10*time.Second {
		return false
	}
	os.Remove(path)
	return os.Mkdir(path, 0o755) == nil
}

// lineBook is a notebook whose holder line is a file.
func lineBook(dir string) *notebook {
	n := &notebook{staging: filepath.Join(dir, "staging"), random: int64(os.Getpid()), boot: "this-boot"}
	n.onRecord.set(func(stamps []ledger.Stamp) error {
		b, err := json.Marshal(ledger.Holder{ID: procid.System{}.Self(), Random: n.random, Stamps: stamps})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "line.tmp"), b, 0o600); err != nil {
			return err
		}
		return os.Rename(filepath.Join(dir, "line.tmp"), filepath.Join(dir, "line"))
	})
	return n
}

func hold(dir string, _ time.Time) {
	_, err := Acquire(context.Background(), lineBook(dir), seam.Seams{}, Spec{Path: filepath.Join(dir, ".oauth_refresh.lock")}, Spec{Path: filepath.Join(dir, "C.lock")})
	check(err)
	fmt.Println("held")
	select {}
}

func dieAfterMkdir(dir string, _ time.Time) {
	crash.Set(func(p crash.Point) {
		if p == crash.AfterMkdir {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	hold(dir, time.Time{})
}

// L2 with real processes: SIGKILL of one of ours delays the next by no more than
// a second; L7b: from another pid namespace nothing is concluded.
func TestL2L7bKilledProcess(t *testing.T) {
	b := newBench(t)
	c := spawn(t, "hold", b.dir, time.Now())
	if line, err := bufio.NewReader(c.out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	raw, err := os.ReadFile(filepath.Join(b.dir, "line"))
	must(t, err)
	must(t, json.Unmarshal(raw, &b.book.prev))
	try := func(id procid.ID) (*Set, error) {
		b.book.dead = procid.System{}.Dead(id)
		return Try(t.Context(), b.book, seam.Seams{}, b.both()...)
	}

	_, err = try(b.book.prev.ID)
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), fmt.Sprintf("by evercred, pid %d", c.cmd.Process.Pid)) {
		t.Errorf("while it lives: %v", err)
	}
	must(t, c.cmd.Process.Kill())
	c.cmd.Wait()

	elsewhere := b.book.prev.ID
	elsewhere.NS = "pid:[1]"
	if _, err := try(elsewhere); !errors.Is(err, ErrHeld) {
		t.Errorf("L7b: %v", err)
	}
	began := time.Now()
	set, err := try(b.book.prev.ID)
	must(t, err)
	between(t, time.Since(began), 250*time.Millisecond, 5*time.Second) // on a busy machine; the bubble is exact
	must(t, set.Check())
	must(t, set.Release())
}

// L6b: killed between mkdir and stamp, no lock of ours is left.
func TestL6bKilledBeforeTheStamp(t *testing.T) {
	b := newBench(t)
	c := spawn(t, "die", b.dir, time.Now())
	if err := c.cmd.Wait(); err == nil || c.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v", err)
	}
	b.absent(b.first)
	b.absent(b.second)
	if left, _ := os.ReadDir(b.book.staging); len(left) != 1 {
		t.Fatalf("in staging: %v", left)
	}
	set, err := Try(t.Context(), b.book, seam.Seams{}, b.both()...)
	must(t, err)
	if left, _ := os.ReadDir(b.book.staging); len(left) != 0 {
		t.Errorf("in staging: %v", left)
	}
	must(t, set.Release())
}

// L3, L6 as another user: root's dead lock, and directories that are not
// writable for the first lock, and for the second alone.
func TestL3L6AsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to run a child as somebody else")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "dirlock")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "shut"), 0o700))
	for _, name := range []string{"staging", "theirs"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		must(t, os.Chown(filepath.Join(dir, name), nobody, nobody))
	}
	rootsLock := filepath.Join(dir, "theirs", "root.lock")
	must(t, os.Mkdir(rootsLock, 0o755))
	old := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	must(t, os.Chtimes(rootsLock, old, old))

	self, err := os.Executable()
	must(t, err)
	program, err := os.ReadFile(self)
	must(t, err)
	exe := filepath.Join(dir, "exe")
	must(t, os.WriteFile(exe, program, 0o755))
	cmd := exec.Command(exe)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	c := start(t, cmd, "stranger", dir, time.Now())
	out, err := io.ReadAll(c.out)
	must(t, err)
	must(t, c.cmd.Wait())
	for _, want := range []string{
		"dead: held, it looks dead but belongs to uid 0",
		"first: impossible, permission denied",
		"second: missing, permission denied",
	} {
		if !bytes.Contains(out, []byte(want+"\n")) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if i, err := os.Lstat(rootsLock); err != nil || !i.ModTime().Equal(old) {
		t.Errorf("root's lock was touched: %v, %v", i, err)
	}
}

func stranger(dir string, _ time.Time) {
	theirs, roots := filepath.Join(dir, "theirs"), filepath.Join(dir, "root.lock")
	book := &notebook{staging: filepath.Join(dir, "staging"), boot: "this-boot"}
	times := timing.Default()
	times.Watch, times.TryMax = 240*time.Millisecond, 50*time.Millisecond
	seams := seam.Seams{Times: &times, FS: fsys.OS{}}

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := Acquire(ctx, book, seams, Spec{Path: filepath.Join(theirs, "root.lock")})
	var held *HeldError
	if errors.As(err, &held) && held.Holders[0].Denied && strings.Contains(err.Error(), "belongs to uid 0") {
		fmt.Println("dead: held, it looks dead but belongs to uid 0")
	} else {
		fmt.Println("dead:", err)
	}
	_, err = Try(context.Background(), book, seams, Spec{Path: roots})
	if errors.Is(err, ErrImpossible) && errors.Is(err, os.ErrPermission) {
		fmt.Println("first: impossible, permission denied")
	} else {
		fmt.Println("first:", err)
	}
	set, err := Try(context.Background(), book, seams, Spec{Path: filepath.Join(theirs, "own.lock")}, Spec{Path: roots, Optional: true},
		Spec{Path: filepath.Join(dir, "shut", "lock"), Optional: true})
	check(err)
	if len(set.Missing) == 2 && errors.Is(set.Missing[0].Err, os.ErrPermission) && errors.Is(set.Missing[1].Err, os.ErrPermission) {
		fmt.Println("second: missing, permission denied")
	} else {
		fmt.Println("second:", set.Missing)
	}
	check(set.Release())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
