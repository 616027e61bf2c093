package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/ledger"
)

const alice, bob = 4201, 4202

// aliceWard is a login of alice's in a directory that others can reach.
func aliceWard(t *testing.T) *ward {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to act as another user")
	}
	home, err := os.MkdirTemp("", "evercred-doctor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	w := &ward{t: t, dir: filepath.Join(home, "claude"), env: []string{"HOME=" + home}}
	w.file = filepath.Join(w.dir, ".credentials.json")
	w.must(os.Chmod(home, 0o755), os.Mkdir(w.dir, 0o755))
	w.write(`"scopes":[]`)
	for _, path := range []string{home, w.dir, w.file} {
		w.must(os.Chown(path, alice, alice))
	}
	return w
}

// as runs the doctor as another user.
func (w *ward) as(uid uint32, args ...string) diagnosis {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"doctor", "--json", "--config-dir", w.dir}, args...)...) // not by a path that others may not walk
	cmd.Env = append(w.env, helperVar+"=none", "GORACE=atexit_sleep_ms=0")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Skipf("not permitted here: %v", err)
	}
	if errs.Len() > 0 {
		w.t.Errorf("standard error: %s", &errs)
	}
	return w.diagnosis(cmd.ProcessState.ExitCode(), out.String())
}

func (w *ward) belongsToAlice() {
	w.t.Helper()
	if all := everything(w.t, w.dir); strings.Count(all, " 4201 4201 ") != strings.Count(all, "\n") {
		w.t.Errorf("not all is alice's:\n%s", all)
	}
}

// F5, F10: the same login seen by its user, by root and by a stranger.
func TestDoctorF5OtherUsers(t *testing.T) {
	w := aliceWard(t)
	w.as(alice).healthy()
	w.doctor().healthy()
	w.must(os.Chmod(w.file, 0o644))
	d := w.as(bob)
	d.wants(levelBad, "foreign-owner", "user 4201", "user 4202")
	d.wants(levelBad, "cannot-save", "permission denied")

	w = aliceWard(t)
	w.must(os.Chown(w.file, bob, bob))
	w.doctor().wants(levelWarn, "foreign-owner", "user 4202", "user 4201")
}

// L6: the second lock stands in the directory above.
func TestDoctorL6SecondLockImpossible(t *testing.T) {
	w := aliceWard(t)
	w.must(os.Chown(filepath.Dir(w.dir), 0, 0))
	w.as(alice).wants(levelWarn, "second-lock", "goes on with the first", "permission denied")
}

// L3: root's lock, which nobody but root can free.
func TestDoctorL3ForeignLock(t *testing.T) {
	w := aliceWard(t)
	at := time.Now().Add(-time.Hour)
	w.must(os.Mkdir(w.lockPath(1), 0o700), os.Chtimes(w.lockPath(1), at, at))
	w.as(alice).wants(levelBad, "lock-foreign", "user 0", "rmdir "+w.lockPath(1))
}

// F10: what `sudo evercred` of another program's making, or a container's root,
// left in the ledger is found by its user and mended by root.
func TestDoctorF10WrongOwner(t *testing.T) {
	w := aliceWard(t)
	w.guarded(func(*ledger.Guard) {})
	w.belongsToAlice() // ours leaves nothing of root's
	records := []string{filepath.Join(w.dir, ".evercred"), w.book().Path(), filepath.Join(w.book().Path(), "guard"), filepath.Join(w.book().Path(), "holder")}
	for _, path := range records[1:] {
		w.must(os.Chown(path, 0, 0))
	}
	w.must(os.Chmod(records[3], 0o644))

	w.doctor().wants(levelBad, "foreign-owner", "3 records", "user 0", "user 4201", "sudo evercred doctor --fix --config-dir "+w.dir)
	w.as(alice).wants(levelBad, "foreign-owner", "1 record ") // alice cannot look into it
	w.as(alice, "--fix").wants(levelBad, "mending", "sudo evercred doctor --fix")

	d := w.doctor("--fix")
	d.healthy()
	if len(d.Mended) != 3 {
		t.Errorf("%v", d.Mended)
	}
	w.belongsToAlice()
	if i, err := os.Stat(records[3]); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", i.Mode(), err)
	}
	w.as(alice).healthy()

	// All of it root's, as a mkdir by root leaves it.
	for _, path := range records {
		w.must(os.Chown(path, 0, 0))
	}
	w.as(alice).wants(levelBad, "foreign-owner")
	w.doctor("--fix").healthy()
	w.belongsToAlice()
}

// An open record is closed by its own user.
func TestDoctorOpenRecord(t *testing.T) {
	w := aliceWard(t)
	w.guarded(func(*ledger.Guard) {})
	w.must(os.Chmod(filepath.Join(w.book().Path(), "holder"), 0o666), os.Chmod(w.book().Path(), 0o755))
	w.as(alice).wants(levelWarn, "ledger-open", "2 records", "--fix")
	if d := w.as(alice, "--fix"); len(d.Mended) != 2 || !d.OK {
		t.Errorf("%s", d.text)
	}
}

// S5: root is not led away by links and second names, whatever alice plants.
func TestDoctorS5PlantedRecords(t *testing.T) {
	w := aliceWard(t)
	w.guarded(func(*ledger.Guard) {})
	prey := filepath.Join(filepath.Dir(w.dir), "prey")
	w.must(os.WriteFile(prey, nil, 0o644), os.Mkdir(prey+".d", 0o755), os.WriteFile(filepath.Join(prey+".d", "memory"), nil, 0o644))
	w.must(
		os.Symlink(prey, filepath.Join(w.book().Path(), "tmp-link")),
		os.Link(prey, filepath.Join(w.book().Path(), "attempt-1.open")),
		os.Symlink(prey+".d", filepath.Join(w.dir, ".evercred", "other.json")),
		os.WriteFile(filepath.Join(w.book().Path(), "notes.txt"), nil, 0o644), // not ours at all
	)
	d := w.doctor("--fix")
	d.wants(levelBad, "ledger-planted")
	for _, path := range []string{prey, prey + ".d", filepath.Join(prey+".d", "memory"), filepath.Join(w.book().Path(), "notes.txt")} {
		i, err := os.Stat(path)
		if err != nil || i.Sys().(*syscall.Stat_t).Uid != 0 || i.Mode().Perm()&0o044 == 0 {
			t.Errorf("%s was mended: %v %v", path, i, err)
		}
	}
}

// L2: the locks that a killed process of ours left are known as such.
func TestDoctorL2OurOwnLeftovers(t *testing.T) {
	w := newWard(t)
	endpoint := issuer.New(nil)
	url, err := endpoint.Start()
	w.must(err)
	defer endpoint.Close()
	w.writeRaw(`{"claudeAiOauth":{"accessToken":"` + wardAccess + `","refreshToken":"` + wardRefresh + `","expiresAt":1}}`)
	cmd := exec.Command(os.Args[0], "demo", "child", "--die-at", "during-lock", "--config-dir", w.dir, "--token-url", url)
	cmd.Env = append(w.env, helperVar+"=none")
	if err := cmd.Run(); cmd.ProcessState == nil || !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("not killed: %v", err)
	}
	d := w.doctor()
	d.wants(levelWarn, "lock-left", "process "+strconv.Itoa(cmd.Process.Pid)+" of evercred died", "at once")
	n := 0
	for _, f := range d.Findings {
		if f.ID == "lock-left" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d of 2 locks: %s", n, d.text)
	}
}
