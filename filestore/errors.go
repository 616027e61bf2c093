package filestore

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/durable"
)

// notFile says what stands in the place of a file.
type notFile struct{ kind fs.FileMode }

func (e *notFile) Error() string {
	switch {
	case e.kind&fs.ModeDir != 0:
		return "it is a directory"
	case e.kind&fs.ModeNamedPipe != 0:
		return "it is a FIFO"
	case e.kind&fs.ModeSocket != 0:
		return "it is a socket"
	case e.kind&fs.ModeDevice != 0:
		return "it is a device"
	case e.kind&fs.ModeSymlink != 0:
		return "it became a link meanwhile"
	}
	return "it is not a regular file"
}

func unsafeAt(reason evercred.Reason, what, where string, cause error) error {
	return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: reason, What: what, Where: where, Err: cause}
}

// unreadable explains why a file cannot be read.
func unreadable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "no such file", Where: path, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return unsafeAt(evercred.ReasonPermissions, "the file may not be read", path, err)
	}
	return unsafeAt(evercred.ReasonUnreadable, "the file cannot be read", path, err)
}

func tooLarge(path string, limit int64) error {
	return unsafeAt(evercred.ReasonTooLarge, fmt.Sprintf("the document is larger than %d bytes", limit), path, nil)
}

func conflict(path, what string, cause error) error {
	return &evercred.Error{Kind: evercred.ErrConflict, Reason: evercred.ReasonConflict, What: what, Where: path, Err: cause}
}

// unsavable explains why a save failed, or would. What is explained already
// stays as it is.
func unsavable(path string, err error) error {
	var explained *evercred.Error
	switch {
	case err == nil || errors.As(err, &explained):
		return err
	case errors.Is(err, durable.ErrOvertaken):
		return conflict(path, "another program replaced the file at once", err)
	case errors.Is(err, durable.ErrOwner):
		return unsafeAt(evercred.ReasonForeignOwner, "the file cannot be saved with the owner that it has", path, err)
	case errors.Is(err, durable.ErrTorn), errors.Is(err, durable.ErrUnsettled):
		return unsafeAt(evercred.ReasonCannotSave, "the save failed half-way", path, err)
	case errors.Is(err, fs.ErrPermission):
		return unsafeAt(evercred.ReasonPermissions, "the file may not be saved", path, err)
	}
	return unsafeAt(evercred.ReasonCannotSave, "the file cannot be saved", path, err)
}
