package dirlock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
)

// FuzzGrain: whatever time a file system makes of ours, it is taken for ours
// only if it is ours, cut to a step that some file system has.
func FuzzGrain(f *testing.F) {
	f.Add(int64(1_700_000_000), int64(123_456_789), int64(0))
	for _, g := range grains {
		f.Add(int64(1_700_000_001), int64(123_456_789), -int64(g)+1)
	}
	f.Add(int64(253402300800), int64(5), int64(-5))
	f.Add(int64(-62135596801), int64(999_999_999), int64(1))
	f.Fuzz(func(t *testing.T, sec, nsec, off int64) {
		want := time.Unix(sec, nsec%1e9)
		got := want.Add(time.Duration(off))
		g, ok := grainOf(want, got)
		if off == 0 && (!ok || g != 1) {
			t.Fatalf("%v kept as it is: %v %v", want, g, ok)
		}
		if ok && (!want.Truncate(g).Equal(got) || got.After(want) || want.Sub(got) >= 2*time.Second) {
			t.Fatalf("%v became %v, in steps of %v", want, got, g)
		}
		if !ok && !got.After(want) {
			for _, g := range grains {
				if want.Truncate(g).Equal(got) {
					t.Fatalf("%v became %v in steps of %v, and passes for another's", want, got, g)
				}
			}
		}
	})
}

// FuzzLeft: a lock is one that a dead process of ours left only if its holder
// line says so: path, inode, birth, one of the two times, and the random part as
// far as a file system keeps it.
func FuzzLeft(f *testing.F) {
	f.Add(uint64(7), int64(1_700_000_000_000), int64(123_400), int64(123_400), int64(5), true, uint64(7))
	f.Add(uint64(7), int64(1_700_000_000_000), int64(123_400), int64(123_000), int64(5), true, uint64(7))
	f.Add(uint64(7), int64(1_700_000_000_000), int64(0), int64(123_400), int64(0), true, uint64(7))
	f.Add(uint64(0), int64(0), int64(0), int64(0), int64(0), false, uint64(1))
	f.Fuzz(func(t *testing.T, ino uint64, milli, part, random, birth int64, dead bool, stampIno uint64) {
		part, random = part&(1<<20-1)%1e6, random&(1<<20-1)%1e6
		at := time.UnixMilli(milli).Add(time.Duration(part))
		var born time.Time
		if birth != 0 {
			born = time.Unix(birth, 0)
		}
		book := &notebook{dead: dead, prev: ledger.Holder{Random: random, Stamps: []ledger.Stamp{{Path: "lock", Ino: stampIno, Birth: born, Time: at}}}}
		n := &line{book: book}
		there := fsys.Info{Ino: ino, ModTime: at, BirthTime: born}
		left := n.left("lock", there)
		if left && (!dead || ino != stampIno || ino == 0) {
			t.Fatalf("taken for left by a dead one: inode %d of %d, dead %v", ino, stampIno, dead)
		}
		if left && part == 0 && born.IsZero() {
			t.Fatal("neither a random part nor a birth time speaks for it")
		}
		if left && part != 0 && part != random && part != random-random%100 && part != random-random%1000 {
			t.Fatalf("the random part is %d, the holder's %d", part, random)
		}
		if dead && ino == stampIno && ino != 0 && part == random && part != 0 && !left {
			t.Fatal("left by a dead one of ours, and not known again")
		}
		if n.left("other", there) || n.left("lock", fsys.Info{Ino: ino, ModTime: at.Add(1), BirthTime: born}) {
			t.Fatal("another path or time passes")
		}
	})
}

// FuzzOwnerFile: what the owner wrote beside its lock is a hint: a pid or
// nothing.
func FuzzOwnerFile(f *testing.F) {
	for _, text := range []string{`{"pid":777,"procStart":"1"}`, `{"pid":-1}`, `{"pid":1.5}`, `{"pid":"7"}`, `[]`, "", "{\"pid\":7}\x00", `{"PID":3,"pid":4}`, strings.Repeat(" ", 4096) + `{"pid":1}`} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	lock := filepath.Join(dir, "lock")
	if err := os.Mkdir(lock, 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(lock+".owner", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if pid := ownerPID(fsys.OS{}, lock); pid < 0 || pid > 0 && len(text) < len(`{"pid":1}`) {
			t.Fatalf("pid %d of %q", pid, text)
		}
	})
}
