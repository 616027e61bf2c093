package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/crash"
)

// childVar names the path on which a child process of these tests works.
const childVar = "EVERCRED_TEST_FILESTORE"

// TestMain lets the test binary be the child: it goes through a whole save and
// prints the kind and reason of the error, and the warnings.
func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		if os.Getenv(childVar+"_KILL") != "" {
			crash.Set(dieDuringSave)
		}
		allow := os.Getenv(childVar+"_ALLOW") != ""
		report(transaction(path, &Options{Private: true, AllowFileMount: allow}))
		return
	}
	credtest.Main(m)
}

func dieDuringSave(at crash.Point) {
	if at == crash.DuringSave {
		fmt.Println("killed")
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func transaction(path string, opts *Options) (evercred.Document, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s := New(path, opts)
	old, err := s.Load(ctx)
	if err != nil {
		return old, fmt.Errorf("load: %w", err)
	}
	l, err := s.Lock(ctx)
	if err != nil {
		return old, fmt.Errorf("lock: %w", err)
	}
	defer l.Unlock()
	if err := l.(evercred.Preparer).Prepare(ctx, old); err != nil {
		return old, fmt.Errorf("prepare: %w", err)
	}
	if _, err = s.Save(ctx, old, []byte(successor)); err != nil {
		err = fmt.Errorf("save: %w", err)
	}
	return old, err
}

func report(old evercred.Document, err error) {
	var e *evercred.Error
	switch {
	case err == nil:
		fmt.Println("saved")
	case errors.As(err, &e):
		step, _, _ := strings.Cut(err.Error(), ":")
		fmt.Println(step, e.Reason)
	}
	fmt.Println(err)
	fmt.Println(strings.Join(old.Notes(), "\n"))
}

// child runs the transaction in a process of another user (0: ours), and
// returns the first line of its report, and all of it.
func child(t *testing.T, path string, uid uint32, env ...string) (first, all string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to act as another user")
	}
	// Not by its path, which others may not walk.
	c := exec.Command("/proc/self/exe")
	// The race detector would sleep for a second at the end of each child.
	c.Env = append([]string{childVar + "=" + path, "GORACE=atexit_sleep_ms=0"}, env...)
	c.Dir = "/"
	if uid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := c.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("not permitted here: %v", err)
	}
	if err != nil && !strings.HasPrefix(string(out), "killed") {
		t.Fatalf("%v: %s", err, out)
	}
	first, _, _ = strings.Cut(string(out), "\n")
	return first, string(out)
}

const alice, bob = 4201, 4202

// home is a directory of alice's with a document of hers, which others can reach.
func home(t *testing.T) (dir, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to act as another user")
	}
	dir, err := os.MkdirTemp("", "evercred-filestore-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "doc.json")
	write(t, path, strange)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chown(dir, alice, alice), os.Chown(path, alice, alice)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir, path
}

// belongs checks that all there is belongs to alice.
func belongs(t *testing.T, dir string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
			return nil
		}
		i, err := d.Info()
		if err != nil {
			t.Error(err)
			return nil
		}
		if st := i.Sys().(*syscall.Stat_t); st.Uid != alice || st.Gid != alice {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
}

// F10: the owner can save, and so can root, who leaves nothing of root's.
func TestSaveAsOwnerAndAsRoot(t *testing.T) {
	for _, uid := range []uint32{alice, 0} {
		dir, path := home(t)
		if first, all := child(t, path, uid); first != "saved" || textOf(t, path) != successor {
			t.Errorf("user %d: %s", uid, all)
		}
		belongs(t, dir)
		tidy(t, dir, "doc.json")
		if first, all := child(t, path, alice); first != "saved" {
			t.Errorf("alice after user %d: %s", uid, all)
		}
	}
}

// F4, F5, F10: another user gets no grant, whatever is open to them, and leaves
// nothing behind.
func TestSaveAsAnotherUser(t *testing.T) {
	for _, c := range []struct {
		name      string
		dir, file os.FileMode
		want      string
	}{
		{"a private file", 0o755, 0o600, "load permissions"},
		{"a readable file", 0o755, 0o644, "lock permissions"},
		{"an open directory", 0o777, 0o644, "lock foreign-owner"},
		{"a sticky directory", 0o777 | os.ModeSticky, 0o666, "lock foreign-owner"},
		{"a closed directory", 0o700, 0o644, "load permissions"},
	} {
		dir, path := home(t)
		for _, err := range []error{os.Chmod(dir, c.dir), os.Chmod(path, c.file)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		first, all := child(t, path, bob)
		if first != c.want || textOf(t, path) != strange {
			t.Errorf("%s: %s", c.name, all)
		}
		belongs(t, dir)
		if names, _ := os.ReadDir(dir); len(names) != 1 {
			t.Errorf("%s: left behind: %v", c.name, names)
		}
	}
}

// F5: a document of another owner keeps its owner, and is warned of; who cannot
// give it that owner does not start.
func TestOtherOwnerIsKept(t *testing.T) {
	dir, path := home(t)
	if err := errors.Join(os.Chown(path, bob, bob), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	first, all := child(t, path, alice)
	if first != "prepare permissions" || textOf(t, path) != strange {
		t.Errorf("alice: %s", all)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if first, all := child(t, path, alice); first != "prepare foreign-owner" || textOf(t, path) != strange {
		t.Errorf("alice, though she may write: %s", all)
	}
	first, all = child(t, path, 0)
	i, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := i.Sys().(*syscall.Stat_t); first != "saved" || st.Uid != bob || st.Gid != bob || i.Mode() != 0o600 {
		t.Errorf("root: %d:%d %v: %s", st.Uid, st.Gid, i.Mode(), all)
	}
	if !strings.Contains(all, fmt.Sprintf("belongs to user %d", bob)) {
		t.Errorf("no warning: %s", all)
	}
	tidy(t, dir, "doc.json")
}

// A file of 0400 is replaced, since its owner may; a directory that became
// read-only after the ledger was made in it is found before the grant.
func TestReadOnlyModes(t *testing.T) {
	dir, path := home(t)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if first, all := child(t, path, alice); first != "saved" {
		t.Errorf("0400: %s", all)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if first, all := child(t, path, alice); first != "prepare permissions" {
		t.Errorf("a directory of 0555: %s", all)
	}
	tidy(t, dir, "doc.json")
}
