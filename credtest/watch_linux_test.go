package credtest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const unseen = "opens past GuardFS may have gone unseen"

// fullHome is a home with logins of every owner, and files that are nobody's
// secret. Any user can reach it, and owner has it.
func fullHome(t *testing.T, owner int) string {
	t.Helper()
	home, _ := fakeHome(t)
	for _, name := range []string{
		".claude.json", ".config/anthropic/configs/default.json", ".config/anthropic/credentials/default.json",
		".profile", ".claude2", ".config/other",
	} {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if owner == os.Getuid() {
		return home
	}
	if err := os.Chmod(filepath.Dir(home), 0o711); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(home, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, owner, owner))
	})
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// watchedChild runs a child as a user, where the kernel tells of opens.
func watchedChild(t *testing.T, uid int, home, file, does string) (string, error) {
	t.Helper()
	cmd := childOf(t, home, file, does)
	if uid != os.Getuid() {
		cmd.Path = "/proc/self/exe" // not by a path that others may not walk
		cmd.Dir = "/"
		cmd.Env = append(cmd.Env, "TMPDIR=/tmp")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := combined(cmd)
	if errors.Is(err, syscall.EPERM) || denied(out) {
		t.Skipf("not to be had here: %v\n%s", err, out)
	}
	if !strings.Contains(out, "--- PASS: TestGuardChild") {
		t.Fatalf("the test itself failed: %v\n%s", err, out)
	}
	return out, err
}

// denied reports whether the kernel, or the file system, does not tell of opens.
func denied(output string) bool {
	return strings.Contains(output, "fanotify_init") || strings.Contains(output, "fanotify_mark")
}

// eachUser runs a test as the user we are, and, as root, as one without
// privileges: the kernel tells them different things.
func eachUser(t *testing.T, test func(t *testing.T, uid int)) {
	t.Run("as myself", func(t *testing.T) { test(t, os.Getuid()) })
	t.Run("without privileges", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("so I am; only root can become another")
		}
		test(t, 65534)
	})
}

func TestGuardSeesWhatGoesPastGuardFS(t *testing.T) {
	eachUser(t, func(t *testing.T, uid int) {
		for _, at := range []struct{ does, name string }{
			{"open past GuardFS", ".claude/.credentials.json"},
			{"open past GuardFS", ".claude"},
			{"open past GuardFS", ".claude.json"},
			{"open past GuardFS", ".config/anthropic/configs/default.json"},
			{"open past GuardFS", ".config/anthropic/credentials/default.json"},
			{"create past GuardFS", ".claude/novel"},
			{"create past GuardFS", ".claude.lock"},
		} {
			home := fullHome(t, uid)
			file := filepath.Join(home, at.name)
			out, err := watchedChild(t, uid, home, file, at.does)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(out, "a test asked for a real path: open "+file+"\n") != 1 {
				t.Errorf("%s %s: %v\n%s", at.does, at.name, err, out)
			}
		}
	})
}

func TestGuardSeesAnOpenByALink(t *testing.T) {
	home, login := fakeHome(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(login, link); err != nil {
		t.Fatal(err)
	}
	if out, err := watchedChild(t, os.Getuid(), home, link, "open past GuardFS"); err == nil || !strings.Contains(out, "real path: open "+login) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestGuardLeavesOthersAlone(t *testing.T) {
	eachUser(t, func(t *testing.T, uid int) {
		for _, at := range []struct{ does, name string }{
			{"have another program open", ".claude/.credentials.json"},
			{"have another program open", ".claude.json"},
			{"have another program open", ".config/anthropic/credentials/default.json"},
			{"open past GuardFS", ".profile"},
			{"open past GuardFS", ".claude2"},
			{"open past GuardFS", ".config/other"},
			{"print", ".claude"},
		} {
			home := fullHome(t, uid)
			if out, err := watchedChild(t, uid, home, filepath.Join(home, at.name), at.does); err != nil {
				t.Errorf("%s %s: %v\n%s", at.does, at.name, err, out)
			}
		}
	})
}

// Where the kernel does not tell, the run is as good, and says so.
func TestGuardWithoutTheKernel(t *testing.T) {
	home, login := fakeHome(t)
	loop := filepath.Join(home, "loop") // as good as a file system that cannot be watched
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	out, err := child(t, home, login, "print", "CLAUDE_CONFIG_DIR="+loop)
	if err != nil || !strings.Contains(out, unseen) {
		t.Errorf("%v\n%s", err, out)
	}
}

// The queue of an unprivileged watch is short. What is lost is not held against
// the run: it may have been anyone's.
func TestWatchSaysThatItLost(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/fanotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || most > 1<<15 {
		t.Skipf("a queue of %s", text)
	}
	dir := t.TempDir()
	opened := watch([]string{dir})
	name := filepath.Join(dir, "0")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Only the same name twice would be one event.
	for i := range most + 1 {
		to := filepath.Join(dir, strconv.Itoa(i+1))
		if err := os.Rename(name, to); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(to)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		name = to
	}
	names, err := opened()
	if err != nil && denied(err.Error()) {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "ran over") || !slices.Contains(names, filepath.Join(dir, "1")) {
		t.Errorf("%d names, %v", len(names), err)
	}
}
