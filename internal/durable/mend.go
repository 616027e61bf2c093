package durable

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/evercred/evercred/internal/fsys"
)

// Mixture reports whether got is what a write of data over old leaves when it is
// cut short: each byte is of one of the two, or zero where old had none. The
// whole of either is no mixture. data is never shorter than old (see fit).
func Mixture(old, data, got []byte) bool {
	if len(got) < len(old) || len(got) > len(data) || bytes.Equal(got, old) || bytes.Equal(got, data) {
		return false
	}
	for i, b := range got {
		behind := i >= len(old)
		if b != data[i] && (behind && b != 0 || !behind && b != old[i]) {
			return false
		}
	}
	return true
}

// Mend ends a write in place that was cut short: it writes data to path if that
// holds a mixture of old and data. check is asked before the first byte. Another
// program may replace the file meanwhile; then there is nothing to mend.
func Mend(disk fsys.FS, path string, old, data []byte, check func() error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("mend %s: %w", path, err)
		}
	}()
	p, err := OpenInPlace(disk, path, int64(len(data)), nil)
	if err != nil {
		return err
	}
	defer p.Discard()
	got, err := readAll(p.file, p.replaces.Size)
	if err != nil || !Mixture(old, data, got) {
		return err
	}
	if err := check(); err != nil {
		return err
	}
	_, err = p.write(data)
	if err == nil || errors.Is(err, ErrOvertaken) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrTorn, err)
}
