package fsys

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

func renameNoReplace(from, to string) error {
	return unix.RenamexNp(from, to, unix.RENAME_EXCL)
}

// Preallocate is F_PREALLOCATE, which counts from the end of the file.
func (f file) Preallocate(size int64) error {
	i, err := f.Stat()
	if err != nil || i.Size >= size {
		return err
	}
	err = unix.FcntlFstore(f.Fd(), unix.F_PREALLOCATE, &unix.Fstore_t{
		Flags:   unix.F_ALLOCATEALL,
		Posmode: unix.F_PEOFPOSMODE,
		Length:  size - i.Size,
	})
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) {
		err = ErrUnsupported
	}
	return pathErr("preallocate", f.Name(), err)
}

// copied reports whether an attribute is the user's.
func copied(string) bool { return true }

// required reports whether an attribute must not be lost. The system keeps some
// of its own that nobody else may set, such as com.apple.provenance.
func required(name string) bool { return !strings.HasPrefix(name, "com.apple.") }

func listxattr(fd int) ([]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, buf)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }), nil
}
