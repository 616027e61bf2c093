// Package durable writes a document so that a crash, a full disk or a power cut
// leaves the old one or the new one (DESIGN §6.6 and §6.9).
//
// Everything of a write that can fail early is done early, by Stage or
// OpenInPlace, before a refresh token is spent; Commit does the rest. All of it
// goes through fsys.FS.
package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/evercred/evercred/internal/fsys"
)

// Spare is how much a prepared write reserves beyond the old size (DESIGN §6.6).
const Spare = 16 << 10

// Errors that callers tell apart.
var (
	// ErrOwner: the new file cannot get the owner, group and mode of the old one.
	ErrOwner = errors.New("owner, group and mode of the old file cannot be given to the new one")
	// ErrDevice: a rename from the staging folder would cross file systems.
	ErrDevice = errors.New("the staging folder lies on another file system")
	// ErrUnsettled: the path holds the new document already, but nobody knows
	// whether a power cut would take it back.
	ErrUnsettled = errors.New("written, but not known to be on disk")
	// ErrOvertaken: the write was done, and another program replaced the file
	// before it could be read back.
	ErrOvertaken = errors.New("another program replaced the file at once")
	// ErrTorn: the file may hold a part of the new document. Of a write in place,
	// the redo record holds the whole one; Mend writes it.
	ErrTorn = errors.New("the file may be torn")
)

var errDiffers = errors.New("it does not hold what was written to it")

// Prepared is a write of which only the last steps are left to do. It is not
// safe for concurrent use.
type Prepared interface {
	// Commit makes data the content of the path. check is asked immediately
	// before the step that cannot be undone; its error ends the write and is
	// wrapped. After an error other than ErrUnsettled, ErrOvertaken and ErrTorn the
	// path holds what it held before. Commit is called once, and discards.
	Commit(data []byte, check func() error) (Result, error)
	// Replaces is the file that the write was prepared for.
	Replaces() fsys.Info
	// Discard gives up what was prepared. It is idempotent.
	Discard() error
}

// Result is what was read back from the path after a write.
type Result struct {
	Data []byte
	Info fsys.Info
}

// prefix marks our temporary files in a staging folder: the ledger sweeps such
// names when it takes the guard, since a dead process may leave a document there.
const prefix = "tmp-save-"

// put is one write of all of data at the start of f. No loop goes on after a
// short write: the disk is full, and the rest would not fit either.
func put(f fsys.File, data []byte) error {
	n, err := f.WriteAt(data, 0)
	if err == nil && n != len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %d bytes to %s: %w", len(data), f.Name(), err)
	}
	return nil
}

// readBack opens the path anew and checks that it is the file that was written
// and holds what was written.
func readBack(disk fsys.FS, path string, written fsys.Info, data []byte) (Result, error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return Result{}, fmt.Errorf("read back: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Result{}, fmt.Errorf("read back: %w", err)
	}
	if !fsys.SameFile(info, written) {
		return Result{}, fmt.Errorf("read back %s: %w", path, ErrOvertaken)
	}
	got, err := readAll(f, int64(len(data)))
	if err != nil {
		return Result{}, fmt.Errorf("read back: %w", err)
	}
	if !bytes.Equal(got, data) {
		return Result{}, fmt.Errorf("read back %s: %w", path, errDiffers)
	}
	return Result{got, info}, nil
}

// readAll reads from the position of f to its end, but at most one byte more
// than expected: enough to see that it is too long.
func readAll(f fsys.File, expected int64) ([]byte, error) {
	b := make([]byte, 0, expected+512)
	buf := bytes.NewBuffer(b)
	_, err := buf.ReadFrom(io.LimitReader(f, expected+1))
	return buf.Bytes(), err
}

// syncDir makes a rename durable. Some file systems (FUSE, SMB) have no sync of
// directories and say so; they give no more than they can.
func syncDir(d fsys.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fsys.ErrUnsupported) {
		return nil
	}
	return err
}

// reserve tolerates a file system that cannot.
func reserve(f fsys.File, size int64) error {
	if err := f.Preallocate(size); err != nil && !errors.Is(err, fsys.ErrUnsupported) {
		return fmt.Errorf("reserve %d bytes: %w", size, err)
	}
	return nil
}
