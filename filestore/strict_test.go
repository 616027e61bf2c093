//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evercred/evercred"
)

// F5: owners whose own clients refuse a file that others may access, or a link.
func TestF5StrictRefuses(t *testing.T) {
	tests := []struct {
		name   string
		make   func(t *testing.T, dir, path string)
		reason evercred.Reason // empty: it loads
		fix    string
	}{
		{"0600", mode(0o600), "", ""},
		{"0400", mode(0o400), "", ""},
		{"0700", mode(0o700), "", ""},
		{"0640", mode(0o640), evercred.ReasonExposed, "chmod 600"},
		{"0604", mode(0o604), evercred.ReasonExposed, "chmod 600"},
		{"0620", mode(0o620), evercred.ReasonExposed, "0620"},
		{"0601", mode(0o601), evercred.ReasonExposed, "chmod 600"},
		{"a link", func(t *testing.T, dir, path string) {
			mode(0o600)(t, dir, filepath.Join(dir, "other"))
			ok(t, os.Symlink("other", path))
		}, evercred.ReasonLink, "link"},
		{"a link to its own name", func(t *testing.T, dir, path string) {
			ok(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
			mode(0o600)(t, dir, filepath.Join(dir, "d", "file"))
			ok(t, os.Symlink("d/file", path))
		}, evercred.ReasonLink, "link"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			test.make(t, dir, path)
			_, err := New(path, &Options{Strict: true}).Load(t.Context())
			if test.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *evercred.Error
			if !errors.Is(err, evercred.ErrUnsafe) || !errors.As(err, &e) || e.Reason != test.reason || !strings.Contains(fmt.Sprint(err), test.fix) {
				t.Errorf("%v", err)
			}
			// The others only warn, or follow.
			if _, err := New(path, nil).Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A linked directory is none of the file's links.
func TestStrictTakesALinkedDirectory(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	ok(t, os.Symlink("real", filepath.Join(dir, "link")))
	mode(0o600)(t, dir, filepath.Join(dir, "real", "file"))
	if _, err := New(filepath.Join(dir, "link", "file"), &Options{Strict: true}).Load(t.Context()); err != nil {
		t.Error(err)
	}
}

func mode(m os.FileMode) func(*testing.T, string, string) {
	return func(t *testing.T, _, path string) {
		ok(t, os.WriteFile(path, []byte("{}"), 0o600))
		ok(t, os.Chmod(path, m))
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
