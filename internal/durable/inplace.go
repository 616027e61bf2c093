package durable

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
)

// InPlace is an open document that will be written over where it lies: a hard
// link, whose other names must see the change, or a file that is itself a mount
// point, which no rename can replace (FAILURES F3, F5). A reader may meet a
// mixture here, and a kill or a power cut may leave one: the redo record tells
// it from a document, and holds what it is mended with.
type InPlace struct {
	disk     fsys.FS
	path     string
	file     fsys.File // nil: discarded
	replaces fsys.Info
	redo     Redo // nil: none
}

var _ Prepared = (*InPlace)(nil)

// Redo keeps both documents of a write in place while it is under way.
type Redo interface {
	// SetRedo makes them durable.
	SetRedo(old, data []byte) error
	ClearRedo() error
}

// OpenInPlace opens path (no link) for writing, without changing a byte of it,
// and reserves size bytes.
func OpenInPlace(disk fsys.FS, path string, size int64, redo Redo) (*InPlace, error) {
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open to write in place: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode.IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = reserve(f, size)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("prepare to write %s in place: %w", path, err)
	}
	return &InPlace{disk, path, f, info, redo}, nil
}

// Replaces is the file that will be written over.
func (p *InPlace) Replaces() fsys.Info { return p.replaces }

// Commit writes data over the old content by one write, without truncating
// first. The result may have white space at its end that data has not.
func (p *InPlace) Commit(data []byte, check func() error) (_ Result, err error) {
	defer func() {
		p.Discard()
		if err != nil {
			err = fmt.Errorf("write %s in place: %w", p.path, err)
		}
	}()
	info, err := p.file.Stat()
	if err != nil {
		return Result{}, err
	}
	old, err := readAll(p.file, info.Size)
	if err != nil {
		return Result{}, err
	}
	data = fit(data, len(old))
	if p.redo == nil {
		return p.over(old, data, check)
	}
	err = p.redo.SetRedo(old, data)
	var r Result
	if err == nil {
		r, err = p.over(old, data, check)
	}
	if !errors.Is(err, ErrTorn) {
		// Where this fails, the next lock finds that there is nothing to mend, and
		// clears it.
		_ = p.redo.ClearRedo()
	}
	return r, err
}

// over writes data over old, or leaves old.
func (p *InPlace) over(old, data []byte, check func() error) (Result, error) {
	if err := check(); err != nil {
		return Result{}, err
	}
	r, err := p.write(data)
	if err == nil || errors.Is(err, ErrOvertaken) {
		return r, err
	}
	if failed := p.restore(old, len(data)); failed != nil {
		return Result{}, fmt.Errorf("%w (the answer is still in escrow): %w; writing the old content back: %w", ErrTorn, err, failed)
	}
	return Result{}, fmt.Errorf("%w; the old content was written back", err)
}

func (p *InPlace) write(data []byte) (Result, error) {
	if err := put(p.file, data); err != nil {
		return Result{}, err
	}
	crash.At(crash.DuringSave)
	if err := p.file.Sync(); err != nil {
		return Result{}, err
	}
	return readBack(p.disk, p.path, p.replaces, data)
}

// restore undoes a write that failed at an unknown place.
func (p *InPlace) restore(old []byte, written int) error {
	if err := put(p.file, old); err != nil {
		return err
	}
	if written > len(old) {
		if err := p.file.Truncate(int64(len(old))); err != nil {
			return err
		}
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	_, err := readBack(p.disk, p.path, p.replaces, old)
	return err
}

// fit changes the white space at the end of data, and nothing else, so that it
// covers size bytes: a shorter document is padded, and one that is longer gives
// up what an earlier padding left, as far as it must.
func fit(data []byte, size int) []byte {
	if len(data) > size {
		kept := max(size, len(bytes.TrimRight(data, " \n")))
		return data[:kept]
	}
	if len(data) == size {
		return data
	}
	padded := append(make([]byte, 0, size), data...)
	padded = append(padded, bytes.Repeat([]byte{' '}, size-len(data))...)
	padded[size-1] = '\n'
	return padded
}

// Discard closes the file.
func (p *InPlace) Discard() error {
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	return err
}
