//go:build unix

package ledger

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

// quick is a directory in which a sync costs nothing, where there is one.
func quick(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "evercred-ledger-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// written is the file of an attempt with two sends, the first cut, the second whole.
func written(t *testing.T) (file []byte, in Intent, first, second []byte) {
	t.Helper()
	l := Open(quick(t), "doc", real())
	g := hold(t, l)
	r, err := g.Begin(Intent{Refresh: "aaaaaaaaaaaa", Access: "bbbbbbbbbbbb"})
	must(t, err)
	first, second = []byte("HTTP/1.1 200 OK\r\n\r\n{\"cut"), []byte("HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"x\"}\n")
	must(t, r.MarkSending(time.Unix(10, 0)))
	must(t, r.Append(first))
	must(t, r.MarkSending(time.Unix(20, 0)))
	must(t, r.Append(second[:7]))
	must(t, r.Append(second[7:]))
	must(t, r.Finish(time.Unix(21, 0)))
	file, err = os.ReadFile(l.openPath(r.Intent().ID))
	must(t, err)
	return file, r.Intent(), first, second
}

// reader loads the bytes of a damaged attempt file as a process would.
type reader struct {
	l  *Ledger
	id string
}

func newReader(t *testing.T, id string) reader {
	l := Open(quick(t), "doc", real())
	must(t, os.MkdirAll(l.path, 0o700))
	return reader{l, id}
}

func (r reader) load(t *testing.T, file []byte) (*Attempt, error) {
	t.Helper()
	must(t, os.WriteFile(r.l.openPath(r.id), file, 0o600))
	return r.l.load(r.id)
}

// TestTornAttempt cuts the file at every byte, as it is, and filled up with the
// zeros that a preallocation without KEEP_SIZE leaves.
func TestTornAttempt(t *testing.T) {
	file, in, first, second := written(t)
	r := newReader(t, in.ID)
	for n := range len(file) + 1 {
		for _, zeros := range []int{0, 3000} {
			cut := append(bytes.Clone(file[:n]), make([]byte, zeros)...)
			a, err := r.load(t, cut)
			if n < headerSize {
				if !errors.Is(err, errTorn) {
					t.Fatalf("cut at %d, %d zeros: %v, want errTorn", n, zeros, err)
				}
				continue
			}
			must(t, err)
			check(t, n, a, in, first, second)
			if n == len(file) {
				if raw, at, complete := a.Answer(); !bytes.Equal(raw, second) || !at.Equal(time.Unix(21, 0)) || !complete {
					t.Errorf("whole: %q %v %v", raw, at, complete)
				}
			}
		}
	}
}

// TestDamagedAttempt changes every byte.
func TestDamagedAttempt(t *testing.T) {
	file, in, first, second := written(t)
	r := newReader(t, in.ID)
	for n := range file {
		for _, x := range []byte{1, 0x80, 0xff, file[n], file[n] ^ '\n'} { // file[n]: becomes zero
			bad := bytes.Clone(file)
			bad[n] ^= x
			a, err := r.load(t, bad)
			must(t, err) // neither torn nor newer: it is not to be swept and not in the way
			if n < headerSize-sumSize && x != 0 && !a.Corrupt() {
				t.Fatalf("byte %d of the intent changed and nobody noticed", n)
			}
			if !a.Corrupt() {
				check(t, n, a, in, first, second)
			} else if a.NeverSent(in.Holder.Boot) {
				t.Fatalf("byte %d: a corrupt attempt counts as never sent", n)
			}
		}
	}
}

// check holds a damaged attempt to what was written: a prefix of it, and no
// other byte.
func check(t *testing.T, n int, a *Attempt, in Intent, first, second []byte) {
	t.Helper()
	if got := a.Intent(); !got.At.Equal(in.At) || got.Refresh != in.Refresh || got.ID != in.ID || got.Holder != in.Holder {
		t.Fatalf("byte %d: intent %+v", n, got)
	}
	raw, at, complete := a.Answer()
	if !bytes.HasPrefix(first, raw) && !bytes.HasPrefix(second, raw) {
		t.Fatalf("byte %d: invented %q", n, raw)
	}
	if complete && !bytes.Equal(raw, second) {
		t.Fatalf("byte %d: %q counts as complete", n, raw)
	}
	if a.HasAnswer() != (len(raw) > 0) {
		t.Fatalf("byte %d: HasAnswer %v of %q", n, a.HasAnswer(), raw)
	}
	for _, want := range []int64{0, 10, 20, 21} {
		if at.IsZero() || at.Equal(time.Unix(want, 0)) {
			return
		}
	}
	t.Fatalf("byte %d: invented the time %v", n, at)
}

// TestTornAttemptGoesOn: a process that recovers a torn attempt can send again
// and keep the new answer behind the last good frame.
func TestTornAttemptGoesOn(t *testing.T) {
	file, in, _, _ := written(t)
	for n := headerSize; n < len(file); n += 5 {
		l := Open(quick(t), "doc", real())
		write(t, l.openPath(in.ID), string(file[:n])+"\x00garbage\x00")
		g := hold(t, l)
		records, err := g.Attempts()
		must(t, err)
		must(t, records[0].MarkSending(time.Unix(30, 0)))
		must(t, records[0].Append([]byte("again")))
		must(t, records[0].Finish(time.Unix(31, 0)))
		again, err := g.Attempts()
		must(t, err)
		if again[0] != records[0] {
			t.Fatal("two writers of one attempt")
		}
		must(t, g.Release())
		records, err = l.Attempts()
		must(t, err)
		raw, at, complete := records[0].Answer()
		if sent, ok := records[0].Sent(); string(raw) != "again" || !at.Equal(time.Unix(31, 0)) || !complete || !ok || !sent.Equal(time.Unix(30, 0)) {
			t.Fatalf("cut at %d: %q %v %v, sent %v", n, raw, at, complete, sent)
		}
	}
}

// TestNeverBegunIsSwept: Begin was killed before it returned; nothing was sent.
func TestNeverBegunIsSwept(t *testing.T) {
	file, in, _, _ := written(t)
	for _, content := range []string{"", string(file[:500]), strings.Repeat("\x00", reserve)} {
		l := Open(quick(t), "doc", real())
		write(t, l.openPath(in.ID), content)
		if records, err := l.Attempts(); len(records) != 0 || err != nil {
			t.Errorf("a view of %d bytes: %v %v", len(content), records, err)
		}
		records, err := hold(t, l).Attempts()
		if len(records) != 0 || err != nil || strings.Contains(tree(t, l.dir), "attempt") {
			t.Errorf("%d bytes: %v %v\n%s", len(content), records, err, tree(t, l.dir))
		}
	}
}

// TestCrashBetweenClosedAndUnlink: the answer is gone for everybody from the
// moment that the closed record stands, and its bytes with the next flight.
func TestCrashBetweenClosedAndUnlink(t *testing.T) {
	dir := quick(t)
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(dir, "doc", on(disk))
	g := hold(t, l)
	r, err := g.Begin(Intent{Refresh: "r"})
	must(t, err)
	must(t, errors.Join(r.MarkSending(time.Unix(1, 0)), r.Append([]byte("secret")), r.Finish(time.Unix(2, 0))))
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Remove" && strings.HasSuffix(c.Path, ".open") {
			return syscall.EIO
		}
		return nil
	}
	if err := r.Close("saved", "n", time.Unix(3, 0)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Close: %v", err)
	}
	must(t, g.Release())
	if pending, err := l.Pending(); pending || err != nil {
		t.Errorf("a closed attempt is pending: %v", err)
	}
	if records, err := l.Attempts(); len(records) != 0 || err != nil {
		t.Errorf("a closed attempt is open: %v %v", records, err)
	}
	disk.Fail = nil
	g = hold(t, l)
	if records, err := g.Attempts(); len(records) != 0 || err != nil {
		t.Errorf("%v %v", records, err)
	}
	if got := tree(t, dir); strings.Contains(got, ".open") || !strings.Contains(got, ".closed") {
		t.Errorf("got\n%s", got)
	}
}

// TestHalfClosedBeforeHistory: the record of its end is not forgotten before the
// attempt itself is cleaned away. (Seed 1732 of the simulation.)
func TestHalfClosedBeforeHistory(t *testing.T) {
	dir := quick(t)
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(dir, "doc", on(disk))
	g := hold(t, l)
	r, err := g.Begin(Intent{Refresh: "r"})
	must(t, err)
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Remove" && strings.HasSuffix(c.Path, ".open") {
			return syscall.EIO
		}
		return nil
	}
	if err := r.Close("saved", "n", time.Unix(3, 0)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Close: %v", err)
	}
	must(t, g.Release())
	disk.Fail = nil
	times := *l.s.Times
	times.History = -time.Hour // it is old at once
	l.s.Times = &times
	if records, err := hold(t, l).Attempts(); len(records) != 0 || err != nil {
		t.Errorf("%v %v", records, err)
	}
	if got := tree(t, dir); strings.Contains(got, ".open") {
		t.Errorf("got\n%s", got)
	}
}

// TestHalfClosedByAGarbledRecord: the answer is kept unless a good record of its
// end stands beside it.
func TestHalfClosedByAGarbledRecord(t *testing.T) {
	file, in, _, second := written(t)
	l := Open(quick(t), "doc", real())
	write(t, l.openPath(in.ID), string(file))
	write(t, l.closedPath(in.ID), "{")
	records, err := hold(t, l).Attempts()
	must(t, err)
	if len(records) != 1 {
		t.Fatal("the answer was thrown away")
	}
	if raw, _, _ := records[0].Answer(); !bytes.Equal(raw, second) {
		t.Errorf("%q", raw)
	}
}

// TestFullDiskInMidAnswer: what follows a piece that was not kept is not kept
// either, or bytes would stand together that did not come together.
func TestFullDiskInMidAnswer(t *testing.T) { // F4
	for name, short := range map[string]bool{"full": false, "short": true, "full, sealed": false, "short, sealed": true} {
		disk := &faulty.FS{Under: fsys.OS{}}
		l := Open(quick(t), "doc", on(disk))
		if strings.Contains(name, "sealed") {
			l = l.Sealed(keyOf(1))
		}
		g := hold(t, l)
		r, err := g.Begin(Intent{})
		must(t, err)
		must(t, errors.Join(r.MarkSending(time.Unix(1, 0)), r.Append([]byte("one "))))
		if short {
			disk.Short = func(c faulty.Call, n int) int { return n / 2 }
		} else {
			disk.Fail = func(faulty.Call) error { return syscall.ENOSPC }
		}
		if r.Append([]byte("two ")) == nil {
			t.Error("Append reports nothing")
		}
		disk.Fail, disk.Short = nil, nil
		if r.Append([]byte("three")) == nil || r.Finish(time.Unix(2, 0)) == nil {
			t.Error("the later calls report nothing")
		}
		if raw, _, complete := r.Answer(); string(raw) != "one two three" || !complete {
			t.Errorf("in this process: %q %v", raw, complete)
		}
		records, err := l.Attempts()
		must(t, err)
		if raw, _, complete := records[0].Answer(); string(raw) != "one " || complete {
			t.Errorf("on disk: %q %v", raw, complete)
		}
		must(t, errors.Join(r.MarkSending(time.Unix(3, 0)), r.Append([]byte("four")), r.Finish(time.Unix(4, 0))))
		records, err = l.Attempts()
		must(t, err)
		if raw, _, complete := records[0].Answer(); string(raw) != "four" || !complete {
			t.Errorf("on disk after the next send: %q %v", raw, complete)
		}
	}
}

// TestWithoutPreallocation: zeros take the room, and are not read as frames.
func TestWithoutPreallocation(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == "File.Preallocate" {
			return fsys.ErrUnsupported
		}
		return nil
	}}
	l := Open(quick(t), "doc", on(disk))
	r, err := hold(t, l).Begin(Intent{})
	must(t, err)
	i, err := os.Stat(l.openPath(r.Intent().ID))
	must(t, err)
	if i.Size() != reserve {
		t.Errorf("%d bytes, want %d", i.Size(), reserve)
	}
	must(t, errors.Join(r.MarkSending(time.Unix(1, 0)), r.Append([]byte("x"))))
	records, err := l.Attempts()
	must(t, err)
	if raw, _, _ := records[0].Answer(); string(raw) != "x" {
		t.Errorf("%q", raw)
	}
}

func TestPreallocated(t *testing.T) {
	l := Open(quick(t), "doc", real())
	r, err := hold(t, l).Begin(Intent{})
	must(t, err)
	var st syscall.Stat_t
	must(t, syscall.Stat(l.openPath(r.Intent().ID), &st))
	if st.Blocks*512 < reserve {
		t.Errorf("%d bytes reserved, want %d", st.Blocks*512, reserve)
	}
}

func TestIntentTooLong(t *testing.T) {
	l := Open(quick(t), "doc", real())
	if _, err := hold(t, l).Begin(Intent{Refresh: strings.Repeat("x", 2000)}); err == nil {
		t.Error("an intent larger than the header was accepted")
	}
	if strings.Contains(tree(t, l.dir), "attempt") {
		t.Error("and left a file")
	}
}

func TestLookOnly(t *testing.T) {
	l := Open(quick(t), "doc", real())
	g := hold(t, l)
	_, err := g.Begin(Intent{})
	must(t, err)
	records, err := l.Attempts()
	must(t, err)
	r := records[0]
	for what, err := range map[string]error{
		"MarkSending": r.MarkSending(time.Now()), "Append": r.Append([]byte("x")), "Finish": r.Finish(time.Now()),
		"Close": r.Close("saved", "", time.Now()),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestNeverSent: a missing mark proves something only in the boot in which it
// would have been made, since marks are not synced.
func TestNeverSent(t *testing.T) {
	l := Open(quick(t), "doc", real())
	g := hold(t, l)
	_, err := g.Begin(Intent{})
	must(t, err)
	boot := g.BootID()
	must(t, g.Release())
	records, err := l.Attempts()
	must(t, err)
	r := records[0]
	if boot == "" || !r.NeverSent(boot) || r.NeverSent("another boot") || r.NeverSent("") {
		t.Errorf("boot %q: %v, another: %v, unknown: %v", boot, r.NeverSent(boot), r.NeverSent("another boot"), r.NeverSent(""))
	}
}

func TestHistoryIsForgotten(t *testing.T) {
	l := Open(quick(t), "doc", real())
	now := time.Now()
	name := func(age time.Duration) string { return "attempt-" + idTime(now.Add(-age)) + "-x.closed" }
	old, young := name(l.s.Times.History+time.Hour), name(l.s.Times.History-time.Hour)
	write(t, filepath.Join(l.path, old), "{}")
	write(t, filepath.Join(l.path, young), "{}")
	_, err := hold(t, l).Attempts()
	must(t, err)
	names, err := fsys.OS{}.ReadDir(l.path)
	must(t, err)
	if slices.Contains(names, old) || !slices.Contains(names, young) {
		t.Errorf("left: %v", names)
	}
}

// TestManyPieces: random pieces of random answers come back as they were.
func TestManyPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		l := Open(quick(t), "doc", real())
		g := hold(t, l)
		r, err := g.Begin(Intent{})
		must(t, err)
		must(t, r.MarkSending(time.Unix(1, 0)))
		var all []byte
		for range random.IntN(20) {
			p := make([]byte, random.IntN(9000))
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			all = append(all, p...)
			must(t, r.Append(p))
		}
		must(t, r.Finish(time.Unix(2, 0)))
		records, err := l.Attempts()
		must(t, err)
		raw, _, complete := records[0].Answer()
		if want := all[:min(len(all), keep)]; !bytes.Equal(raw, want) || complete != (len(all) > 0 && len(all) <= keep) {
			t.Fatalf("%d bytes of %d, complete %v", len(raw), len(all), complete)
		}
	}
}

// TestTooMuch: what no process of ours writes is not understood, and what is
// there already is not outgrown.
func TestTooMuch(t *testing.T) {
	if _, _, _, ok := nextFrame(appendFrame(nil, frameData, make([]byte, keep+1))); ok {
		t.Error("a frame larger than an answer")
	}
	_, in, _, _ := written(t)
	head, err := header(in)
	must(t, err)
	file := head
	for range 2 {
		file = appendFrame(file, frameData, make([]byte, keep-1))
	}
	l := Open(quick(t), "doc", real())
	write(t, l.openPath(in.ID), string(file))
	records, err := hold(t, l).Attempts()
	must(t, err)
	must(t, records[0].Append([]byte("more")))
	if raw, _, _ := records[0].Answer(); len(raw) != 2*(keep-1) {
		t.Errorf("%d bytes", len(raw))
	}

	r, err := newVolatileRecord()
	must(t, err)
	for err == nil {
		must(t, r.MarkSending(time.Unix(1, 0)))
		err = r.Append(make([]byte, keep))
	}
	if !errors.Is(err, errTooLong) {
		t.Error(err)
	}
}

func newVolatileRecord() (Record, error) { return NewVolatile(real()).Begin(Intent{}) }

func TestAttemptOfAnotherNameIsCorrupt(t *testing.T) {
	file, in, _, _ := written(t)
	r := newReader(t, in.ID+"x")
	if a, err := r.load(t, file); err != nil || !a.Corrupt() || a.Intent() != (Intent{ID: in.ID + "x"}) {
		t.Errorf("%+v %v", a, err)
	}
}

// TestListingDuringBegin: an attempt that is being begun is not taken for one
// that never was.
func TestListingDuringBegin(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(quick(t), "doc", on(disk))
	g := hold(t, l)
	listed := make(chan error, 1)
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.Preallocate" {
			go func() { _, err := g.Attempts(); listed <- err }()
			for range 1000 {
				runtime.Gosched() // time enough for a list that does not wait
			}
		}
		return nil
	}
	r, err := g.Begin(Intent{})
	must(t, err)
	must(t, <-listed)
	if _, err := os.Stat(l.openPath(r.Intent().ID)); err != nil {
		t.Error(err)
	}
}
