package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
)

// F1: what a strict or careless editor would change.
const strange = "\ufeff{\"a\": 1.50, \"a\" : 12345678901234567890,\r\n\t\"b\":\"\\u00e9\\/\",  \"claudeAiOauth\" :{\"refreshToken\":\"sk-ant-ort01-test-old\"} }\n\n"

const successor = `{"claudeAiOauth":{"refreshToken":"sk-ant-ort01-test-new"}}`

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func load(t *testing.T, s *Store) evercred.Document {
	t.Helper()
	d, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func lock(t *testing.T, s *Store) *held {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l, err := s.Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Unlock() })
	return l.(*held)
}

// wants checks kind and reason, and that the error repeats no secret.
func wants(t *testing.T, what string, err, kind error, reason evercred.Reason) {
	t.Helper()
	var e *evercred.Error
	if !errors.Is(err, kind) || !errors.As(err, &e) || e.Reason != reason {
		t.Errorf("%s: got %v, want %v (%s)", what, err, kind, reason)
	}
	if err != nil && strings.Contains(err.Error(), "sk-ant") {
		t.Errorf("%s: the error repeats a secret", what)
	}
	kinds := []error{evercred.ErrNotFound, evercred.ErrLocked, evercred.ErrUnsafe, evercred.ErrConflict}
	n := 0
	for _, k := range kinds {
		if errors.Is(err, k) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s: %v matches %d sentinels", what, err, n)
	}
}

// tidy checks that nothing lies about: no temporary file, and in the directory
// nothing but what is named and our folder.
func tidy(t *testing.T, dir string, names ...string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "tmp-") {
			t.Errorf("left over: %s", path)
		}
		return nil
	})
	got, err := fsys.OS{}.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range got {
		if name != ".evercred" && !slices.Contains(names, name) {
			t.Errorf("left over: %s", name)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "doc.json")
	write(t, path, strange)
	s := New(path, nil)
	d := load(t, s)
	i, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Bytes()) != strange || d.Place() != real || !d.Modified().Equal(i.ModTime()) {
		t.Errorf("%q from %s of %v", d.Bytes(), d.Place(), d.Modified())
	}
	if s.Ledger().Path() != filepath.Join(filepath.Dir(real), ".evercred", "doc.json") {
		t.Errorf("ledger %s", s.Ledger().Path())
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", d, d, d), "sk-ant") {
		t.Error("the document prints")
	}
	names, _ := fsys.OS{}.ReadDir(dir)
	if !slices.Equal(names, []string{"doc.json"}) {
		t.Errorf("reading made %v", names)
	}
}

// F6: refused at once, and untouched.
func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	sub, big := filepath.Join(dir, "sub"), filepath.Join(dir, "big")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, big, "")
	if err := os.Truncate(big, 64<<20); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		kind   error
		reason evercred.Reason
	}{
		{filepath.Join(dir, "absent"), evercred.ErrNotFound, evercred.ReasonNoFile},
		{filepath.Join(dir, "absent", "doc.json"), evercred.ErrNotFound, evercred.ReasonNoFile},
		{sub, evercred.ErrUnsafe, evercred.ReasonUnreadable},
		{filepath.Join(big, "doc.json"), evercred.ErrUnsafe, evercred.ReasonUnreadable},
		{big, evercred.ErrUnsafe, evercred.ReasonTooLarge},
	} {
		_, err := New(c.path, nil).Load(t.Context())
		wants(t, c.path, err, c.kind, c.reason)
	}
}

// The limit is in bytes and exact, even for a file that grows while it is read.
func TestLoadLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, "0123456789")
	if _, err := New(path, &Options{MaxSize: 10}).Load(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := New(path, &Options{MaxSize: 9}).Load(t.Context())
	wants(t, "one byte more", err, evercred.ErrUnsafe, evercred.ReasonTooLarge)

	s := New(path, &Options{MaxSize: 9})
	f, info, err := s.open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info.Size = 5 // as it was when it was asked
	_, err = s.readFrom(f, info)
	wants(t, "grown", err, evercred.ErrUnsafe, evercred.ReasonTooLarge)
}

// A truncated or empty document is the codec's to judge.
func TestLoadEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, "")
	if d := load(t, New(path, nil)); d.IsZero() || len(d.Bytes()) != 0 {
		t.Errorf("%v, zero %v", d, d.IsZero())
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "doc.json")
	write(t, path, "{}")
	s := New(path, nil)
	last := load(t, s)
	ask := func(what string, want bool) {
		t.Helper()
		if got, err := s.Probe(t.Context(), last); err != nil || got != want {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	ask("unchanged", false)
	if err := os.Chtimes(path, time.Time{}, last.Modified().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	ask("another time", true)
	last = load(t, s)
	write(t, path+".new", "{}")
	if err := os.Chtimes(path+".new", time.Time{}, last.Modified()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	ask("another file of the same size and time", true)
	last = load(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ask("gone", true)
	last = evercred.Document{}
	ask("never loaded", true)
}

// F2: links are followed one by one; what stands behind them is named.
func TestLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	if err := os.MkdirAll(at("real", "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, at("real", "doc.json"), "{}")
	for link, to := range map[string]string{
		"absolute":         at("real", "doc.json"),
		"relative":         "real/../real/./doc.json",
		"chain":            "relative",
		"dir":              "real/deep",
		"through":          "dir/../doc.json", // ".." of the link's target, not of its name
		"dangling":         "real/absent.json",
		"dangling-chain":   "dangling",
		"self":             "self",
		"loop-a":           "loop-b",
		"loop-b":           "loop-a",
		"real/deep/parent": "../doc.json",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Skip(err)
		}
	}
	for _, name := range []string{"absolute", "relative", "chain", "through", "dir/parent"} {
		s := New(at(name), nil)
		if d := load(t, s); d.Place() != at("real", "doc.json") {
			t.Errorf("%s leads to %s", name, d.Place())
		}
		if s.Ledger().Path() != at("real", ".evercred", "doc.json") {
			t.Errorf("%s has its ledger at %s", name, s.Ledger().Path())
		}
	}
	for _, name := range []string{"dangling", "dangling-chain"} {
		_, err := New(at(name), nil).Load(t.Context())
		wants(t, name, err, evercred.ErrNotFound, evercred.ReasonNoFile)
		if err != nil && (!strings.Contains(err.Error(), at("dangling")) || !strings.Contains(err.Error(), "real/absent.json")) {
			t.Errorf("%s: the message names neither link nor target: %v", name, err)
		}
	}
	for _, name := range []string{"self", "loop-a", "self/doc.json"} {
		_, err := New(at(name), nil).Load(t.Context())
		wants(t, name, err, evercred.ErrUnsafe, evercred.ReasonLoop)
	}
}

func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "doc.json", "{}")
	if d := load(t, New("doc.json", nil)); !filepath.IsAbs(d.Place()) {
		t.Errorf("place %s", d.Place())
	}
}

// kindFS says that its files lie on a file system of another kind.
type kindFS struct {
	fsys.FS
	kind fsys.Kind
}

func (f kindFS) Kind(string) (fsys.Kind, error) { return f.kind, nil }

func on(disk fsys.FS) *seam.Seams { return &seam.Seams{FS: disk} }

// L8: a network file system is warned of.
func TestNetworkNote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, "{}")
	if notes := load(t, New(path, nil)).Notes(); len(notes) != 0 {
		t.Errorf("a plain private file: %q", notes)
	}
	d := load(t, New(path, &Options{Seams: on(kindFS{fsys.OS{}, fsys.Kind{Name: "nfs", Remote: true}})}))
	if len(d.Notes()) != 1 || !strings.Contains(d.Notes()[0], "nfs") {
		t.Errorf("%q", d.Notes())
	}
}
