//go:build unix

package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// keyOf always has the same key.
func keyOf(b byte) Key {
	return func() ([]byte, error) { return bytes.Repeat([]byte{b}, KeySize), nil }
}

// noKey is what a lost key is read as.
func noKey() ([]byte, error) { return nil, ErrNoKey }

const sealedAnswer = "HTTP/1.1 200 OK\r\n\r\n{\"refresh_token\":\"sk-ant-ort01-invented\"}\n"

// sealed is the file of an attempt with one whole answer in two pieces.
func sealed(t *testing.T) (file []byte, in Intent) {
	t.Helper()
	l := Open(quick(t), "doc", real()).Sealed(keyOf(1))
	g := hold(t, l)
	r, err := g.Begin(Intent{Refresh: "aaaaaaaaaaaa"})
	must(t, err)
	must(t, r.MarkSending(time.Unix(10, 0)))
	must(t, r.Append([]byte(sealedAnswer[:11])))
	must(t, r.Append([]byte(sealedAnswer[11:])))
	must(t, r.Finish(time.Unix(11, 0)))
	file, err = os.ReadFile(l.openPath(r.Intent().ID))
	must(t, err)
	if raw, _, complete := r.Answer(); string(raw) != sealedAnswer || !complete {
		t.Errorf("the writer has %q %v", raw, complete)
	}
	return file, r.Intent()
}

// The answer is on disk, and not in clear: no file of the folder holds a word of it.
func TestSealedIsNotInClear(t *testing.T) {
	dir := quick(t)
	g := hold(t, Open(dir, "doc", real()).Sealed(keyOf(1)))
	r, err := g.Begin(Intent{Refresh: "r"})
	must(t, err)
	must(t, errors.Join(r.MarkSending(time.Unix(1, 0)), r.Append([]byte(sealedAnswer)), r.Finish(time.Unix(2, 0))))
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for _, word := range []string{"invented", "refresh_token", "HTTP/1.1"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s holds %q in clear", path, word)
			}
		}
		return err
	}))
	if files < 3 {
		t.Errorf("only %d files were looked at", files)
	}
}

// A cut at any byte leaves every whole piece readable, and nothing else.
func TestSealedAndTorn(t *testing.T) {
	file, in := sealed(t)
	r := newReader(t, in.ID)
	r.l = r.l.Sealed(keyOf(1))
	lengths := map[int]bool{}
	for n := headerSize; n <= len(file); n++ {
		a, err := r.load(t, file[:n])
		must(t, err)
		raw, _, complete := a.Answer()
		if len(raw) != 0 && len(raw) != 11 && len(raw) != len(sealedAnswer) || string(raw) != sealedAnswer[:len(raw)] {
			t.Fatalf("cut at %d: %q", n, raw)
		}
		lengths[len(raw)] = true
		if complete && len(raw) != len(sealedAnswer) {
			t.Fatalf("cut at %d: complete with %d bytes", n, len(raw))
		}
		if a.Corrupt() || a.NeverSent(in.Holder.Boot) && n > headerSize+frameHead+stopSize+frameTail {
			t.Fatalf("cut at %d: corrupt %v, never sent", n, a.Corrupt())
		}
	}
	if len(lengths) != 3 {
		t.Errorf("lengths %v", lengths)
	}
}

// A lost key, another key and no key at all: the attempt stands, was sent, and
// says nothing; it is not swept. A key that cannot be had now is an error, and
// no verdict.
func TestSealedWithoutItsKey(t *testing.T) {
	file, in := sealed(t)
	away := errors.New("locked")
	for name, key := range map[string]Key{"lost": noKey, "another": keyOf(2), "none": nil, "short": func() ([]byte, error) { return []byte("x"), nil }} {
		l := Open(quick(t), "doc", real()).Sealed(key)
		write(t, l.openPath(in.ID), string(file))
		g := hold(t, l)
		records, err := g.Attempts()
		must(t, err)
		if len(records) != 1 {
			t.Fatalf("%s: %d attempts", name, len(records))
		}
		r := records[0]
		if _, sent := r.Sent(); r.HasAnswer() || r.Corrupt() || r.NeverSent(in.Holder.Boot) || !sent || r.Intent().Refresh != in.Refresh {
			t.Errorf("%s: answer %v, corrupt %v, sent %v", name, r.HasAnswer(), r.Corrupt(), sent)
		}
		if raw, _, complete := r.Answer(); raw != nil || complete {
			t.Errorf("%s: %q %v", name, raw, complete)
		}
		if pending, err := l.Pending(); pending || err != nil {
			t.Errorf("%s: pending %v %v", name, pending, err)
		}
		if now, _ := os.ReadFile(l.openPath(in.ID)); !bytes.Equal(now, file) {
			t.Errorf("%s: the attempt was changed by looking at it", name)
		}
	}
	l := Open(quick(t), "doc", real()).Sealed(func() ([]byte, error) { return nil, away })
	write(t, l.openPath(in.ID), string(file))
	if _, err := l.Attempts(); !errors.Is(err, away) {
		t.Errorf("a key that cannot be had now: %v", err)
	}
	if pending, err := l.Pending(); pending || !errors.Is(err, away) {
		t.Errorf("a key that cannot be had now: pending %v %v", pending, err)
	}
}

// What is written behind an answer that nobody can read goes behind it.
func TestSealedGoesOnBehindAnotherKey(t *testing.T) {
	file, in := sealed(t)
	l := Open(quick(t), "doc", real())
	write(t, l.openPath(in.ID), string(file))
	g := hold(t, l.Sealed(keyOf(2)))
	records, err := g.Attempts()
	must(t, err)
	r := records[0]
	must(t, errors.Join(r.MarkSending(time.Unix(20, 0)), r.Append([]byte("again")), r.Finish(time.Unix(21, 0))))
	must(t, g.Release())
	for b, want := range map[byte]string{1: sealedAnswer, 2: "again"} {
		records, err := l.Sealed(keyOf(b)).Attempts()
		must(t, err)
		if raw, _, complete := records[0].Answer(); string(raw) != want || !complete {
			t.Errorf("key %d reads %q %v, want %q", b, raw, complete, want)
		}
	}
}

// Without the key nothing is begun, and so nothing can be spent.
func TestBeginNeedsTheKey(t *testing.T) {
	dir := quick(t)
	g := hold(t, Open(dir, "doc", real()).Sealed(noKey))
	if r, err := g.Begin(Intent{}); r != nil || !errors.Is(err, ErrNoKey) {
		t.Errorf("%v %v", r, err)
	}
	if ids, err := g.list(); len(ids.open) != 0 || err != nil {
		t.Errorf("%v %v", ids.open, err)
	}
}

// A piece that was moved to another place or into another attempt is no answer.
func TestSealedPiecesStayInPlace(t *testing.T) {
	l := Open("x", "doc", real()).Sealed(keyOf(1))
	b, err := l.box("a")
	must(t, err)
	p, err := b.seal(100, []byte("text"))
	must(t, err)
	if got, err := b.open(100, p); string(got) != "text" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	if _, err := b.open(101, p); !errors.Is(err, errDark) {
		t.Errorf("another offset: %v", err)
	}
	other, err := l.box("b")
	must(t, err)
	if _, err := other.open(100, p); !errors.Is(err, errDark) {
		t.Errorf("another attempt: %v", err)
	}
	for i := range p {
		bad := bytes.Clone(p)
		bad[i] ^= 1
		if _, err := b.open(100, bad); !errors.Is(err, errDark) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

// fickle is chance that may fail, and a key that may be away.
type fickle struct{ fails bool }

func (f *fickle) Read(p []byte) (int, error) {
	if f.fails {
		return 0, syscall.EIO
	}
	return rand.Read(p)
}

func (f *fickle) key() ([]byte, error) {
	if f.fails {
		return nil, syscall.ECONNREFUSED
	}
	return keyOf(1)()
}

// What cannot be sealed is not written, least of all in clear.
func TestWhatCannotBeSealedIsNotWritten(t *testing.T) {
	for name, cause := range map[string]error{"no chance": syscall.EIO, "no key": syscall.ECONNREFUSED} {
		chance, key := new(fickle), new(fickle)
		s := real()
		s.Rand = chance
		l := Open(quick(t), "doc", s).Sealed(key.key)
		g := hold(t, l)
		_, err := g.Begin(Intent{Refresh: "aaaaaaaaaaaa"})
		must(t, err)
		must(t, g.Release())
		g = hold(t, l) // another process opens the attempt again
		records, err := g.Attempts()
		must(t, err)
		must(t, records[0].MarkSending(time.Unix(1, 0)))
		chance.fails, key.fails = name == "no chance", name == "no key"
		if err := records[0].Append([]byte(sealedAnswer)); !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(l.openPath(records[0].Intent().ID)); err != nil || bytes.Contains(b, []byte("invented")) {
			t.Errorf("%s: in clear: %v", name, err)
		}
	}
}
