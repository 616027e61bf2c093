//go:build unix

package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/timing"
)

// year10000 is a time that JSON cannot hold.
var year10000 = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// The errors that a call may meet, and those that say that others are at work.
var calls = []error{syscall.EIO, fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fsys.ErrUnsupported}

// TestEveryOtherErrorOfEveryCall: whatever one call of a whole tenure says, what
// Finish called durable is there afterwards, what Begin made is there or closed,
// nothing staged is left, and the next one can work.
func TestEveryOtherErrorOfEveryCall(t *testing.T) {
	undisturbed := &faulty.FS{Under: fsys.OS{}}
	dir := quick(t)
	leave(t, dir)
	if durable, err := tenure(Open(dir, "doc", on(undisturbed))); !durable || err != nil {
		t.Fatal(durable, err)
	}
	for _, fault := range calls {
		for n := range undisturbed.Calls() {
			dir := quick(t)
			disk := &faulty.FS{Under: fsys.OS{}}
			l := Open(dir, "doc", on(disk))
			leave(t, dir)
			disk.Fail = func(c faulty.Call) error {
				if c.N == n {
					return fault
				}
				return nil
			}
			durable, err := tenure(l)
			disk.Fail = nil
			what := "none"
			if n < len(disk.Calls()) {
				what = fmt.Sprint(disk.Calls()[n], " says ", fault)
			}
			g, again := l.TryGuard()
			if again != nil {
				t.Fatalf("%s: no guard afterwards: %v", what, again)
			}
			records, again := g.Attempts()
			must(t, again)
			var escrow string
			for _, r := range records {
				raw, _, _ := r.Answer()
				escrow += string(raw)
			}
			if durable && !strings.Contains(escrow, "the answer") {
				t.Errorf("%s: the answer is gone; %v", what, err)
			}
			if !strings.Contains(escrow, "left") {
				t.Errorf("%s: the answer that was left is gone; %v", what, err)
			}
			if got := tree(t, dir); strings.Contains(got, stagePrefix) || strings.Contains(got, lockPrefix) {
				t.Errorf("%s: left over\n%s", what, got)
			}
			must(t, g.Release())
		}
	}
}

// leave is what a dead process left: an answer, an attempt that it had closed,
// one that it had never quite begun, a wide folder and a staged file.
func leave(t *testing.T, dir string) {
	l := Open(dir, "doc", real())
	g, err := l.TryGuard()
	must(t, err)
	r, err := g.Begin(Intent{Refresh: "r0"})
	must(t, err)
	must(t, errors.Join(r.MarkSending(time.Unix(1, 0)), r.Append([]byte("left")), r.Finish(time.Unix(2, 0))))
	closed, err := g.Begin(Intent{Refresh: "r1"})
	must(t, err)
	half, err := os.ReadFile(l.openPath(closed.Intent().ID))
	must(t, err)
	must(t, closed.Close("saved", "r2", time.Unix(3, 0)))
	must(t, os.WriteFile(l.openPath(closed.Intent().ID), half, 0o600))
	must(t, g.Record([]Stamp{{Path: "lock", Ino: 7}}))
	g.guard.Close() // what the kernel does
	for _, f := range g.files {
		f.Close()
	}
	write(t, l.openPath("20200101T000000.000000000Z-torn"), "")
	write(t, l.file(stagePrefix+"old"), "secret")
	must(t, os.Chmod(l.path, 0o755))
}

// tenure uses everything once; durable: an answer was called durable.
func tenure(l *Ledger) (durable bool, err error) {
	note := func(e error) { err = errors.Join(err, e) }
	_, e := l.Memory()
	note(e)
	_, e = l.Pending()
	note(e)
	_, e = l.History()
	note(e)
	_, e = l.Exists()
	note(e)
	g, e := l.TryGuard()
	if e != nil {
		return false, e
	}
	_, _, e = l.Holder()
	note(e)
	_, e = l.TryGuard()
	if !errors.Is(e, ErrHeld) {
		note(e)
	}
	_, e = l.Attempts()
	note(e)
	records, e := g.Attempts()
	note(e)
	for _, r := range records {
		_ = r.Append([]byte("?")) // at its end: the file is opened for it
	}
	note(g.SetMemory(Memory{Print: "p", Dead: &Dead{}}))
	note(g.SetSights([]Sight{{Path: "x", Ino: 1}}))
	g.Sights()
	note(g.Record([]Stamp{{Path: "lock", Ino: 8}}))
	note(g.Own(l.path))
	r, e := g.Begin(Intent{Refresh: "r9"})
	note(e)
	if e == nil {
		note(r.MarkSending(time.Unix(5, 0)))
		note(r.Append([]byte("the answer")))
		e = r.Finish(time.Unix(6, 0))
		durable = e == nil
		note(e)
	}
	note(g.Record(nil))
	note(g.Release())
	return durable, err
}

// skipping fails its n-th read, and no other.
type skipping struct{ n, reads int }

var errChance = errors.New("no chance")

func (r *skipping) Read(p []byte) (int, error) {
	r.reads++
	if r.reads == r.n+1 {
		return 0, errChance
	}
	return rand.Read(p)
}

// TestWithoutChance: no name, no stamp and no attempt is made of something that
// is not random.
func TestWithoutChance(t *testing.T) {
	dir := quick(t)
	hold(t, Open(dir, "first", real())) // makes VERSION, so that what follows is of one folder alone
	for n := 0; ; n++ {
		s := real()
		chance := &skipping{n: n}
		s.Rand = chance
		g, err := Open(dir, fmt.Sprint("doc", n), s).TryGuard()
		if err == nil {
			_, err = g.Begin(Intent{})
			err = errors.Join(err, g.SetMemory(Memory{Print: "p"}), g.Release())
		}
		if err == nil {
			if chance.reads > n || n < 6 {
				t.Errorf("read %d of %d failed, and nobody is told", n+1, chance.reads)
			}
			break
		}
		if !errors.Is(err, errChance) {
			t.Fatalf("read %d fails: %v", n+1, err)
		}
		if got := tree(t, dir); strings.Contains(got, stagePrefix) {
			t.Fatalf("read %d fails: left over\n%s", n+1, got)
		}
	}
	s := real()
	s.Rand = strings.NewReader("")
	if _, err := NewVolatile(s).Begin(Intent{}); !errors.Is(err, io.EOF) {
		t.Errorf("in memory: %v", err)
	}
}

// wall is a clock that tells one time.
type wall struct {
	timing.Clock
	at time.Time
}

func (w wall) Now() time.Time { return w.at }

// T15: a clock in the year 10000 stops nothing for ever: what cannot be written
// down is refused, and what stood before stands.
func TestTheYear10000(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	g := hold(t, l)
	r, err := g.Begin(Intent{Refresh: "r"})
	must(t, err)
	must(t, r.MarkSending(time.Unix(1, 0)))
	must(t, r.Append([]byte("answer")))
	must(t, g.SetMemory(Memory{Print: "p"}))
	if err := r.Close("saved", "", year10000); err == nil {
		t.Error("closed at a time that cannot be written")
	}
	if !r.HasAnswer() {
		t.Error("the answer is gone")
	}
	if err := g.SetMemory(Memory{Print: "q", Dead: &Dead{At: year10000}}); err == nil {
		t.Error("remembered a time that cannot be written")
	}
	if m, err := g.Memory(); m.Print != "p" || err != nil {
		t.Errorf("the memory is %+v %v", m, err)
	}
	if err := g.Record([]Stamp{{Time: year10000}}); err == nil {
		t.Error("recorded a time that cannot be written")
	}
	if len(g.Stamps()) != 0 {
		t.Error("it counts as recorded")
	}
	must(t, r.Close("saved", "", time.Now()))
	must(t, g.Release())

	s := real()
	s.Clock = wall{s.Clock, year10000}
	if _, err := Open(dir, "doc", s).TryGuard(); err == nil {
		t.Error("a holder line with a time that cannot be written")
	}
	hold(t, l)
	if _, err := header(Intent{At: year10000}); err == nil {
		t.Error("a header with a time that cannot be written")
	}
}

func TestHeaderOfNoVersionIsCorrupt(t *testing.T) {
	head, err := header(Intent{ID: "x"})
	must(t, err)
	if _, err := parseHeader("f", head); err != errCorrupt {
		t.Errorf("%v", err)
	}
}

// A frame that is whole and makes no sense ends what is understood.
func TestFramesThatMakeNoSense(t *testing.T) {
	good := appendFrame(nil, frameData, []byte("a"))
	for _, kind := range []byte{frameSend, frameEnd, 'X'} {
		sends, n, _ := parseFrames(append(appendFrame(good, kind, []byte("short")), good...), nil)
		if n != len(good) || len(sends) != 1 || string(sends[0].raw) != "a" {
			t.Errorf("%c: %d of %d, %+v", kind, n, len(good), sends)
		}
	}
	none := appendFrame(nil, frameSeal, make([]byte, sealRoom)) // sealed, and empty
	open := func(int64, []byte) ([]byte, error) { return nil, nil }
	if sends, n, _ := parseFrames(append(none, good...), open); n != len(none)+len(good) || string(sends[0].raw) != "a" {
		t.Errorf("behind an empty piece: %d, %+v", n, sends)
	}
	if _, _, _, ok := nextFrame(good[:frameHead+frameTail-1]); ok {
		t.Error("a frame shorter than its head and tail")
	}
	empty := appendFrame(nil, frameData, nil)
	if _, payload, size, ok := nextFrame(empty); !ok || len(payload) != 0 || size != len(empty) {
		t.Error("an empty frame is none")
	}
	most := appendFrame(nil, frameData, make([]byte, keep))
	if _, payload, _, ok := nextFrame(most); !ok || len(payload) != keep {
		t.Error("the largest frame is none")
	}
	if _, _, _, ok := nextFrame(appendFrame(nil, frameData, make([]byte, keep+1))); ok {
		t.Error("a frame larger than the largest")
	}
}

func TestErrorsSayWhoAndWhy(t *testing.T) {
	if got := (&HeldError{}).Error(); got != ErrHeld.Error() {
		t.Error(got)
	}
	held := &HeldError{Holder: Holder{ID: procid.ID{PID: 7}}, Since: time.Unix(0, 0).UTC(), Err: context.Canceled}
	if got := held.Error(); got != "process 7 holds the guard since 1970-01-01T00:00:00Z" || !errors.Is(held, ErrHeld) || !errors.Is(held, context.Canceled) {
		t.Error(got)
	}
	owner := &OwnerError{Path: "p", Have: 1, Want: 2}
	if !errors.Is(owner, ErrOwner) || errors.Is(owner, fs.ErrPermission) {
		t.Error("OwnerError without a cause")
	}
	owner.Err = fs.ErrPermission
	if !errors.Is(owner, ErrOwner) || !errors.Is(owner, fs.ErrPermission) {
		t.Error("OwnerError with a cause")
	}
	for _, err := range []interface{ Unwrap() []error }{&OwnerError{}, &HeldError{}} {
		if slices.Contains(err.Unwrap(), nil) { // package errors forbids it
			t.Errorf("%T without a cause wraps nil", err)
		}
	}
	if errors.Is(&HeldError{}, context.Canceled) || !errors.Is(&HeldError{}, ErrHeld) {
		t.Error("HeldError without a cause")
	}
}

func TestVersionThatSaysNothing(t *testing.T) {
	for text, want := range map[string]error{"": nil, " \n": nil, "1\n": nil, "0\n": ErrPlanted, "-1": ErrPlanted, "one": ErrPlanted, "2": ErrNewer} {
		dir := quick(t)
		path := filepath.Join(dir, rootName, versionName)
		write(t, path, text)
		g, err := Open(dir, "doc", real()).TryGuard()
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		if err != nil {
			continue
		}
		must(t, g.Release())
		if b, _ := os.ReadFile(path); string(b) != "1\n" {
			t.Errorf("%q became %q", text, b)
		}
	}
}

// lying is a disk on which everything called name belongs to another user, until
// it was made anew by us.
type lying struct {
	fsys.FS
	name string
	ours *bool
}

func (d lying) Lstat(path string) (fsys.Info, error) {
	i, err := d.FS.Lstat(path)
	if filepath.Base(path) == d.name && !*d.ours {
		i.UID++
	}
	return i, err
}

func (d lying) Mkdir(path string, perm fs.FileMode) error {
	if filepath.Base(path) == d.name {
		*d.ours = true
	}
	return d.FS.Mkdir(path, perm)
}

func (d lying) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	if filepath.Base(path) == d.name {
		return nil, fs.ErrPermission
	}
	return d.FS.OpenFile(path, flag, perm)
}

func TestFolderOfAnotherUser(t *testing.T) { // F10
	dir := quick(t)
	root := filepath.Join(dir, rootName)
	must(t, os.Mkdir(root, 0o700))
	disk := lying{fsys.OS{}, rootName, new(bool)}
	g, err := Open(dir, "doc", on(disk)).TryGuard() // an empty one is replaced
	must(t, err)
	must(t, g.Release())
	if !*disk.ours {
		t.Error("another user's folder was kept")
	}

	*disk.ours = false
	before := tree(t, dir)
	_, err = Open(dir, "doc", on(disk)).TryGuard() // one with something in it is not
	var owner *OwnerError
	if !errors.As(err, &owner) || owner.Path != root || owner.Have != owner.Want+1 {
		t.Errorf("%v", err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
	if _, err := Open(dir, "doc", on(lying{fsys.OS{}, guardName, new(bool)})).TryGuard(); !errors.As(err, &owner) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another user's guard: %v", err)
	}
}

func TestOwn(t *testing.T) {
	dir := quick(t)
	g := hold(t, Open(dir, "doc", real()))
	if err := g.Own(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
	must(t, g.Own(g.Path()))
}

// always fails the calls of op whose path ends in name.
func always(op, name string, err error) *faulty.FS {
	return &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == op && strings.Contains(filepath.Base(c.Path), name) {
			return err
		}
		return nil
	}}
}

// TestRacesEnd: what changes at every look is given up, with a name for it.
func TestRacesEnd(t *testing.T) {
	for name, disk := range map[string]*faulty.FS{
		"the folder comes and goes": always("Lstat", "doc", fs.ErrNotExist),
		"every staging name exists": always("OpenFile", stagePrefix, fs.ErrExist),
		"the guard is gone":         always("OpenFile", guardName, fs.ErrNotExist),
	} {
		dir := quick(t)
		must(t, os.MkdirAll(filepath.Join(dir, rootName, "doc"), 0o700))
		if _, err := Open(dir, "doc", on(disk)).TryGuard(); !errors.Is(err, errAgain) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(disk.Calls()); n > 200 {
			t.Errorf("%s: %d calls", name, n)
		}
	}
	disk := always("Rename", versionName, fs.ErrNotExist)
	if _, err := Open(quick(t), "doc", on(disk)).TryGuard(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("everything staged is swept: %v", err)
	}
}

// What cannot be made, or not be known to be the owner's, is told as what it was,
// and nothing staged is left.
func TestGuardThatCannotBeMade(t *testing.T) {
	for name, disk := range map[string]*faulty.FS{
		"its name":       always("RenameNoReplace", guardName, syscall.EIO),
		"its owner, F10": always("File.Stat", stagePrefix, syscall.EIO),
	} {
		dir := quick(t)
		if _, err := Open(dir, "doc", on(disk)).TryGuard(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
		if got := tree(t, dir); strings.Contains(got, stagePrefix) {
			t.Errorf("%s: left over\n%s", name, got)
		}
	}
}

// Whether the memory changed, nobody knows who cannot look at it.
func TestNotedThatCannotBeLookedAt(t *testing.T) {
	if _, err := Open(quick(t), "doc", on(always("Lstat", memoryName, syscall.EIO))).Noted(); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
}

// An attempt is passed over only where it is known that nothing is to be
// recovered: it is gone, or a record of its end can be read.
func TestAttemptThatCannotBePassedOver(t *testing.T) {
	file, in, _, _ := written(t)
	for name, c := range map[string]struct {
		suffix string
		remove bool
		fault  error
	}{
		"gone between the list and the look": {openSuffix, true, nil},
		"a record that cannot be read":       {closedSuffix, false, syscall.EIO},
	} {
		disk := &faulty.FS{Under: fsys.OS{}}
		l := Open(quick(t), "doc", on(disk))
		write(t, l.openPath(in.ID), string(file))
		if !c.remove {
			write(t, l.closedPath(in.ID), "{}")
		}
		g := hold(t, l)
		disk.Fail = func(call faulty.Call) error {
			if call.Op != "OpenFile" || !strings.HasSuffix(call.Path, c.suffix) {
				return nil
			}
			if c.remove {
				os.Remove(call.Path)
			}
			return c.fault
		}
		if records, err := g.Attempts(); len(records) != 0 || !errors.Is(err, c.fault) {
			t.Errorf("%s: %v %v", name, records, err)
		}
		disk.Fail = nil
	}
}

// Somebody removed the record of an open attempt: it can be closed all the same.
func TestCloseOfWhatIsGone(t *testing.T) {
	l := Open(quick(t), "doc", real())
	r, err := hold(t, l).Begin(Intent{Refresh: "r", Host: strings.Repeat("h", 2*maxHost)})
	must(t, err) // however long the host calls itself
	if n := len(r.Intent().Host); n != maxHost {
		t.Errorf("a host of %d bytes", n)
	}
	must(t, os.Remove(l.openPath(r.Intent().ID)))
	must(t, r.Close("saved", "", time.Unix(1, 0)))
}

func TestGuardCannotBeLookedAt(t *testing.T) {
	dir := quick(t)
	disk := always("Lstat", "none", syscall.EIO)
	l := Open(dir, "doc", on(disk))
	g := hold(t, l)
	fail := disk.Fail
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Lstat" {
			return syscall.EIO
		}
		return nil
	}
	if err := g.Check(); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrLost) {
		t.Errorf("Check: %v, want the error and no loss", err)
	}
	if err := g.SetMemory(Memory{}); !errors.Is(err, syscall.EIO) {
		t.Errorf("SetMemory: %v", err)
	}
	disk.Fail = fail
	must(t, g.Check())
}

// An attempt that is full keeps the rest in this process, and says so.
func TestFullAttempt(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	g, err := l.TryGuard()
	must(t, err)
	r, err := g.Begin(Intent{Refresh: "r"})
	must(t, err)
	id := r.Intent().ID
	must(t, g.Release())
	file, err := os.ReadFile(l.openPath(id))
	must(t, err)
	file = file[:headerSize]
	for range 64 {
		file = appendFrame(file, frameSend, appendStop(time.Unix(1, 0), 0))
		file = appendFrame(file, frameData, make([]byte, keep-60))
	}
	must(t, os.WriteFile(l.openPath(id), file, 0o600))

	g = hold(t, l)
	records, err := g.Attempts()
	must(t, err)
	r = records[0]
	before := r.(*Attempt).off
	if before > maxAttempt || before < maxAttempt-keep {
		t.Fatalf("%d bytes", before)
	}
	fill := r.Append(make([]byte, 1)) // what fits is still written
	must(t, fill)
	for range maxAttempt - before {
		if r.MarkSending(time.Unix(2, 0)) != nil {
			break
		}
	}
	if off := r.(*Attempt).off; off > maxAttempt || off < maxAttempt-100 {
		t.Errorf("grown to %d of %d", off, maxAttempt)
	}
	if err := r.Append([]byte(strings.Repeat("rest", 100))); !errors.Is(err, errTooLong) {
		t.Errorf("Append: %v", err)
	}
	if err := r.Finish(time.Unix(3, 0)); !errors.Is(err, errTooLong) {
		t.Errorf("Finish: %v", err)
	}
	if raw, _, _ := r.Answer(); !strings.HasSuffix(string(raw), "rest") {
		t.Error("the rest is not kept")
	}
	must(t, g.Release())
	g = hold(t, l)
	records, err = g.Attempts() // as the next process finds it: nothing of it is open
	must(t, err)
	if err := records[0].Finish(time.Unix(4, 0)); !errors.Is(err, errTooLong) || errors.Is(err, ErrLost) {
		t.Errorf("Finish of the next process: %v", err)
	}
	r = records[0]
	must(t, r.Close("saved", "", time.Now()))
}

// The owner's own process takes our fresh folder for a leftover of root's, and
// removes it; and a folder whose owner cannot be learned is not kept.
func TestFolderThatIsTakenAway(t *testing.T) {
	dir := quick(t)
	disk := &faulty.FS{Under: fsys.OS{}}
	looks := 0
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Lstat" && c.Path == filepath.Join(dir, rootName) {
			if looks++; looks == 2 {
				os.Remove(c.Path)
			}
		}
		return nil
	}
	g, err := Open(dir, "doc", on(disk)).TryGuard()
	must(t, err)
	must(t, g.Check())
	if looks < 4 {
		t.Errorf("%d looks: it was not taken away", looks)
	}
}

// A disk that cannot rename without replacing makes the guard in place.
func TestGuardInPlace(t *testing.T) {
	dir := quick(t)
	disk := always("RenameNoReplace", guardName, fsys.ErrUnsupported)
	g, err := Open(dir, "doc", on(disk)).TryGuard()
	must(t, err)
	must(t, g.Check())
	if _, err := Open(dir, "doc", real()).TryGuard(); !errors.Is(err, ErrHeld) {
		t.Errorf("not held: %v", err)
	}
	if i, err := os.Lstat(filepath.Join(g.Path(), guardName)); err != nil || i.Mode() != 0o600 {
		t.Errorf("%v %v", i, err)
	}
	must(t, g.Release())
	// Made by another process in the same moment.
	other := quick(t)
	races := 0
	disk = &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == "RenameNoReplace" {
			races++
			write(t, c.Path, "")
			return fsys.ErrUnsupported
		}
		return nil
	}}
	g, err = Open(other, "doc", on(disk)).TryGuard()
	must(t, err)
	must(t, g.Check())
	if races != 1 {
		t.Errorf("%d races", races)
	}
}

// Neither opened nor looked at: the error is that of the opening.
func TestGuardThatCannotBeOpenedNorLookedAt(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	must(t, hold(t, l).Release())
	opened := false
	disk := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if filepath.Base(c.Path) != guardName {
			return nil
		}
		if c.Op == "OpenFile" {
			opened = true
			return syscall.EMFILE
		}
		if opened {
			return syscall.EIO
		}
		return nil
	}}
	if _, err := Open(dir, "doc", on(disk)).TryGuard(); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("%v", err)
	}
}

// Whether an answer waits in a record that cannot be opened, nobody knows: beside
// a blanked login that is the difference between its rescue and its end.
// (T4: EMFILE at the record.)
func TestPendingThatCannotBeRead(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(quick(t), "doc", on(disk))
	_, err := hold(t, l).Begin(Intent{Refresh: "aaaaaaaaaaaa"})
	must(t, err)
	disk.Fail = func(c faulty.Call) error {
		if strings.HasSuffix(c.Path, openSuffix) {
			return syscall.EMFILE
		}
		return nil
	}
	if _, err := l.Pending(); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("%v", err)
	}
}
