package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Errors of ReadSmall beside those of FS.
var (
	ErrNotRegular = errors.New("it is not a regular file")
	ErrTooLarge   = errors.New("it is larger than any such file")
)

// Small is a file that ReadSmall has read.
type Small struct {
	Text []byte
	Info Info // of the descriptor that Text came from
	// Place is where the file is, if the name's last element is a link to it.
	Place string
}

// ReadSmall reads a file that holds settings, through links, at most limit bytes:
// one stat, and if it is there one open. What stands at name is asked before it
// is opened, and once more of the descriptor: it may be exchanged between.
func ReadSmall(disk FS, name string, limit int64) (Small, error) {
	s := Small{Place: name}
	info, err := disk.Stat(name)
	if err == nil {
		err = small(info, limit)
	}
	if err != nil {
		return Small{}, err
	}
	f, err := disk.OpenFile(name, os.O_RDONLY, 0)
	if err != nil { // a link is not followed
		to, lerr := filepath.EvalSymlinks(name)
		if lerr != nil || to == name {
			return Small{}, err
		}
		s.Place = to
		if f, err = disk.OpenFile(to, os.O_RDONLY, 0); err != nil {
			return Small{}, err
		}
	}
	defer f.Close()
	if s.Info, err = f.Stat(); err == nil {
		err = small(s.Info, limit)
	}
	if err != nil {
		return Small{}, err
	}
	s.Text, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(s.Text)) > limit {
		err = ErrTooLarge
	}
	return s, err
}

func small(info Info, limit int64) error {
	switch {
	case info.Mode&fs.ModeType != 0:
		return ErrNotRegular
	case info.Size > limit:
		return ErrTooLarge
	}
	return nil
}
