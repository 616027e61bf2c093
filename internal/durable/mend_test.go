package durable

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/evercred/evercred/internal/fsys/faulty"
)

func TestMixture(t *testing.T) {
	const old, data = "aaaa", "bbbb__"
	for got, want := range map[string]bool{
		old: false, data: false, // whole
		"aabb": true, "baab": true, "bbbb": true,
		"aaaa\x00\x00": true, "bbbb\x00_": true, "aaaa__": true,
		"aa\x00b": false, "aab": false, "": false, "bbbb__\x00": false, "aabc": false, "bbbbaa": false,
	} {
		if Mixture([]byte(old), []byte(data), []byte(got)) != want {
			t.Errorf("%q: %v", got, !want)
		}
	}
	if Mixture(nil, nil, []byte("{}")) || Mixture(nil, nil, nil) {
		t.Error("a record that cannot be understood tells a mixture")
	}
}

// notebook is a Redo that notes what is asked of it.
type notebook struct {
	log  []string
	fail error // of SetRedo
}

func (n *notebook) SetRedo(old, data []byte) error {
	n.log = append(n.log, "set", string(old), string(data))
	return n.fail
}

func (n *notebook) ClearRedo() error { n.log = append(n.log, "clear"); return nil }

// The redo record stands before the first byte is written, and as long as the
// file may be torn; a save that cannot have one writes nothing.
func TestRedoAroundAWriteInPlace(t *testing.T) {
	full := errors.New("full")
	for name, c := range map[string]struct {
		fail, refuse, err error
		broken, clear     bool
		want              string
	}{
		"saved":        {clear: true, want: newDocument},
		"no record":    {fail: full, err: full, clear: true, want: oldDocument},
		"check failed": {refuse: full, err: full, clear: true, want: oldDocument},
		"torn":         {broken: true, err: ErrTorn},
	} {
		s := newSite(t, 0o600)
		n := &notebook{fail: c.fail}
		p, err := OpenInPlace(s.disk, s.path, 1<<10, n)
		if err != nil {
			t.Fatal(err)
		}
		broken := false
		s.disk.Fail = func(faulty.Call) error {
			if broken {
				return syscall.EIO
			}
			return nil
		}
		if c.broken {
			s.disk.Short = func(_ faulty.Call, n int) int { broken = true; return n - 8 }
		}
		s.ready = p
		_, err = p.Commit([]byte(newDocument), func() error {
			if s.content(t) != oldDocument || len(n.log) != 3 {
				t.Errorf("%s: at the check: %q", name, n.log)
			}
			return c.refuse
		})
		broken, s.disk.Short = false, nil
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if cleared := slices.Contains(n.log, "clear"); cleared != c.clear {
			t.Errorf("%s: %q", name, n.log)
		}
		if got := s.content(t); c.want != "" && got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestMend(t *testing.T) {
	half := strings.Index(oldDocument, "old") + 1
	torn := newDocument[:half] + oldDocument[half:]
	mend := func(s site) error { return Mend(s.disk, s.path, []byte(oldDocument), []byte(newDocument), ok) }
	for content, want := range map[string]string{
		torn: newDocument, torn + "\x00\x00": newDocument,
		oldDocument: oldDocument, newDocument: newDocument, "{}": "{}",
	} {
		s := newSite(t, 0o600)
		s.write(t, content)
		if err := mend(s); err != nil || s.content(t) != want {
			t.Errorf("%q: %v, %q", content, err, s.content(t))
		}
	}
	// Each call may fail: then it is told, and the next one mends it.
	s := newSite(t, 0o600)
	s.write(t, torn)
	for _, at := range record(t, s, mend) {
		if at.Op == "File.Close" {
			continue
		}
		s := newSite(t, 0o600)
		s.write(t, torn)
		s.disk.Fail = failAt(at, syscall.EIO)
		if err := mend(s); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "mend") {
			t.Errorf("%v: %v", at, err)
		}
		s.disk.Fail = nil
		if err := mend(s); err != nil || s.content(t) != newDocument {
			t.Errorf("after %v: %v, %q", at, err, s.content(t))
		}
	}
	refused := errors.New("refused")
	s = newSite(t, 0o600)
	s.write(t, torn)
	if err := Mend(s.disk, s.path, []byte(oldDocument), []byte(newDocument), func() error { return refused }); !errors.Is(err, refused) || s.content(t) != torn {
		t.Errorf("%v, %q", err, s.content(t))
	}
}
