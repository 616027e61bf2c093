package fsys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

func TestReadSmall(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"file": "text", "empty": "", "limit": strings.Repeat("x", 64), "large": strings.Repeat("x", 65)} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "file", "nowhere": "none", "loop": "loop"} {
		if err := os.Symlink(at(to), at(link)); err != nil {
			t.Skip(err)
		}
	}
	anyError := errors.New("any")
	for name, tt := range map[string]struct {
		text, place string
		err         error
	}{
		"file": {"text", "file", nil}, "empty": {"", "empty", nil}, "limit": {strings.Repeat("x", 64), "limit", nil}, "link": {"text", "file", nil},
		"large": {"", "", fsys.ErrTooLarge}, ".": {"", "", fsys.ErrNotRegular}, "none": {"", "", fs.ErrNotExist}, "nowhere": {"", "", fs.ErrNotExist}, "loop": {"", "", anyError},
	} {
		disk := &faulty.FS{Under: fsys.System()}
		s, err := fsys.ReadSmall(disk, at(name), 64)
		if tt.err != nil {
			if err == nil || tt.err != anyError && !errors.Is(err, tt.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		place, _ := filepath.EvalSymlinks(at(tt.place))
		if got, _ := filepath.EvalSymlinks(s.Place); err != nil || string(s.Text) != tt.text || got != place || s.Info.Size != int64(len(tt.text)) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if calls := disk.Calls(); name == "file" && (len(calls) < 2 || calls[0].Op != "Stat" || calls[1].Op != "OpenFile") {
			t.Errorf("%v", calls)
		}
	}
	// It grows, or is exchanged, between the look and the reading.
	grown := &faulty.FS{Under: fsys.System(), Fail: func(c faulty.Call) error {
		if c.Op == "OpenFile" {
			return os.WriteFile(at("file"), make([]byte, 100), 0o600)
		}
		return nil
	}}
	if _, err := fsys.ReadSmall(grown, at("file"), 64); !errors.Is(err, fsys.ErrTooLarge) {
		t.Errorf("grown: %v", err)
	}
}
