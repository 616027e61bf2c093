package dirlock

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/timing"
)

// Thing is what stands at the path of a lock.
type Thing string

// The things. Only a directory is a lock.
const (
	Nothing   Thing = "nothing"
	Directory Thing = "directory"
	Regular   Thing = "regular file"
	Link      Thing = "symbolic link"
	Other     Thing = "special file"
	Unknown   Thing = "unreadable"
)

// Report is one look at a lock, for messages, status and doctor.
type Report struct {
	Path  string
	Thing Thing
	// Age by its time and the wall clock; negative: the time lies in the future.
	Age time.Duration
	// UID is its owner; -1 on Windows.
	UID int
	// PID is what the file beside the lock says (INTEROP §3): a hint, never a
	// ground for a decision. 0: unknown.
	PID int
	// Remote: on a file system where ages mean nothing.
	Remote bool
	// Err is why Thing is Unknown.
	Err error
}

// Inspect looks at the path of a lock and touches nothing.
func Inspect(fsy fsys.FS, clock timing.Clock, path string) Report {
	i, err := fsy.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Report{Path: path, Thing: Nothing}
	case err != nil:
		return Report{Path: path, Thing: Unknown, Err: err}
	}
	return report(fsy, clock, path, i)
}

func report(fsy fsys.FS, clock timing.Clock, path string, i fsys.Info) Report {
	r := Report{Path: path, Thing: thing(i), Age: clock.Now().Sub(i.ModTime), UID: i.UID}
	if r.Thing == Directory {
		r.Remote = remote(fsy, path)
		r.PID = ownerPID(fsy, path)
	}
	return r
}

func thing(i fsys.Info) Thing {
	switch {
	case i.Mode.IsDir():
		return Directory
	case i.Mode.IsRegular():
		return Regular
	case i.Mode&fs.ModeSymlink != 0:
		return Link
	}
	return Other
}

// remote also where it cannot be learned: then only watching counts.
func remote(fsy fsys.FS, path string) bool {
	k, err := fsy.Kind(path)
	return err != nil || k.Remote
}

// ownerPID reads the JSON that the CLI leaves beside its lock.
func ownerPID(fsy fsys.FS, path string) int {
	f, err := fsy.OpenFile(path+".owner", os.O_RDONLY, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil || !i.Mode.IsRegular() {
		return 0
	}
	var owner struct {
		PID int `json:"pid"`
	}
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil || json.Unmarshal(b, &owner) != nil || owner.PID < 0 {
		return 0
	}
	return owner.PID
}

func rounded(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}
