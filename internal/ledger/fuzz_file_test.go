//go:build unix

package ledger

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"
)

// FuzzAttemptFile: an attempt whose file was cut and scribbled in was never begun,
// is corrupt, or is what it was up to the damage; it gives no byte that was not
// answered, and can be closed.
func FuzzAttemptFile(f *testing.F) {
	answer := []byte("HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"x\"}\n")
	f.Add(answer, uint16(0), uint16(0), byte(0), true)
	f.Add(answer, uint16(40), uint16(1100), byte(1), true)
	f.Add(answer, uint16(7), uint16(1030), byte(0x80), false)
	f.Add(answer, uint16(1), uint16(headerSize-3), byte(4), true)
	f.Add([]byte{}, uint16(0), uint16(3), byte(0xff), false)
	dir, err := os.MkdirTemp("/dev/shm", "evercred-ledger-fuzz-")
	if err != nil {
		dir = f.TempDir()
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	f.Fuzz(func(t *testing.T, answer []byte, cut, at uint16, flip byte, ended bool) {
		if len(answer) > 4<<10 {
			return
		}
		l := Open(dir, "doc", real())
		g, err := l.TryGuard()
		must(t, err)
		r, err := g.Begin(Intent{Refresh: "aaaaaaaaaaaa"})
		must(t, err)
		must(t, r.MarkSending(time.Unix(1, 0)))
		for piece := range chunks(answer, 100) {
			must(t, r.Append(piece))
		}
		if ended {
			must(t, r.Finish(time.Unix(2, 0)))
		}
		id, size := r.Intent().ID, int(r.(*Attempt).off)
		must(t, g.Release())
		path := l.openPath(id)
		file, err := os.ReadFile(path)
		must(t, err)
		whole := flip == 0 && cut == 0
		file = file[:max(0, size-int(cut))]
		if int(at) < len(file) {
			file[at] ^= flip
		}
		must(t, os.WriteFile(path, file, 0o600))

		g, err = l.TryGuard()
		must(t, err)
		defer g.Release()
		records, err := g.Attempts()
		if err != nil && !errors.Is(err, ErrNewer) {
			t.Fatal(err)
		}
		for _, r := range records {
			raw, _, complete := r.Answer()
			if !bytes.HasPrefix(answer, raw) {
				t.Fatalf("invented: %q of %q", raw, answer)
			}
			if complete && !bytes.Equal(raw, answer) {
				t.Fatal("a part is called complete")
			}
			if whole && (r.Corrupt() || !bytes.Equal(raw, answer) || complete != (ended && len(answer) > 0)) {
				t.Fatalf("undamaged, and gives %q, complete %v", raw, complete)
			}
			must(t, r.Close("saved", "", time.Now()))
		}
		if whole && len(records) != 1 {
			t.Fatalf("%d records of one attempt", len(records))
		}
		must(t, os.RemoveAll(l.path))
	})
}

// chunks cuts b into pieces of at most n bytes.
func chunks(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

// FuzzHolder: a holder line is understood, newer, or nobody's; what is
// understood survives writing.
func FuzzHolder(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":{"pid":7,"start":"1","boot":"b","ns":"n"},"since":"2026-01-01T00:00:00Z","random":12300,"stamps":[{"path":"p","ino":3,"time":"2026-01-01T00:00:00.0000123Z"}]}`))
	f.Add([]byte(`{"version":1,"released":true,"prior":{"version":1,"prior":{"random":1},"stamps":[{"ino":1}]}}`))
	f.Add([]byte(`{"version":1,"random":1e3}`))
	f.Add([]byte(`{"version":3,"id":[]}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again Holder
		ok, err := decode("f", b, &h)
		if err != nil && (ok || !errors.Is(err, ErrNewer)) {
			t.Fatal(ok, err)
		}
		if !ok {
			return
		}
		left := h.leftover()
		if left.Prior != nil {
			t.Fatal("priors pile up")
		}
		if len(h.Stamps) > 0 && len(left.Stamps) != len(h.Stamps) {
			t.Fatal("its stamps are not those that are left")
		}
		if k := h.known(); h.Released && k.ID.PID != 0 {
			t.Fatal("one that gave the guard back is named")
		}
		text, err := encode(h)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := decode("f", text, &again); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if twice, err := encode(again); err != nil || !bytes.Equal(text, twice) {
			t.Fatalf("%s\n%s", text, twice)
		}
	})
}
