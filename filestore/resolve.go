package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
)

// maxLinks is what Linux follows in one path.
const maxLinks = 40

// place is where the path leads. Both names have real directories; near is
// where the path ends before its last link is followed, target after.
type place struct{ near, target string }

// locate follows every link by itself, so that the file can then be opened
// without following any, and so that a link that leads nowhere can be named.
func (s *Store) locate() (place, error) {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return place{}, unreadable(s.path, err)
	}
	w := walk{disk: s.disk, at: root(path)}
	if err := w.follow(filepath.Dir(path)); err != nil {
		return place{}, w.explain(path, err)
	}
	p := place{near: filepath.Join(w.at, filepath.Base(path))}
	if err := w.follow(filepath.Base(path)); err != nil {
		return place{}, w.explain(path, err)
	}
	p.target = w.at
	return p, nil
}

// walk goes from a real directory along a path, element by element.
type walk struct {
	disk     fsys.FS
	at       string // real
	links    int
	link, to string // the last link, and what it says
}

var errLoop = errors.New("too many links")

func (w *walk) follow(path string) error {
	rest := split(path)
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			w.at = filepath.Dir(w.at) // what the name before it led to is real
			continue
		}
		next := filepath.Join(w.at, name)
		info, err := w.disk.Lstat(next)
		if err != nil {
			return err
		}
		if info.Mode.Type() != fs.ModeSymlink {
			w.at = next
			continue
		}
		if w.links++; w.links > maxLinks {
			return errLoop
		}
		w.link = next
		if w.to, err = w.disk.Readlink(next); err != nil {
			return err
		}
		if filepath.IsAbs(w.to) {
			w.at = root(w.to)
		}
		rest = append(split(w.to), rest...)
	}
	return nil
}

func (w *walk) explain(path string, err error) error {
	switch {
	case errors.Is(err, errLoop):
		return unsafeAt(evercred.ReasonLoop, fmt.Sprintf("the path leads through more than %d links", maxLinks), path, nil)
	case errors.Is(err, fs.ErrNotExist) && w.link != "":
		return &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: fmt.Sprintf("the link %s leads to %s, which is not there", w.link, w.to), Where: path, Err: err}
	}
	return unreadable(path, err)
}

// root is "/", or the volume's.
func root(path string) string { return filepath.VolumeName(path) + string(filepath.Separator) }

// split keeps "..": in the target of a link it may stand behind another link,
// and there it must not be taken away by its letters.
func split(path string) []string {
	path = filepath.ToSlash(path[len(filepath.VolumeName(path)):])
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}
