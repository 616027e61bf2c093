package hold

import (
	"errors"
	"io/fs"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
)

func unsafeAt(reason evercred.Reason, what, where string, cause error) error {
	return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: reason, What: what, Where: where, Err: cause}
}

// Unlockable explains why the guard of the login at path cannot be taken.
func Unlockable(disk fsys.FS, path string, err error) error {
	switch {
	case errors.Is(err, ledger.ErrHeld):
		return &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "another process is refreshing this login", Where: path, Err: err}
	case errors.Is(err, ledger.ErrNewer):
		return unsafeAt(evercred.ReasonNewerLedger, "a newer evercred keeps the records of this login", path, err)
	case errors.Is(err, ledger.ErrOwner):
		return unsafeAt(evercred.ReasonForeignOwner, "the records of this login cannot be given to the owner of the directory", path, err)
	case errors.Is(err, ledger.ErrUnsupported):
		if k, kerr := disk.Kind(path); kerr == nil && k.Remote {
			return unsafeAt(evercred.ReasonNetworkFS, "this network file system ("+k.Name+") has no locks", path, err)
		}
		return unsafeAt(evercred.ReasonCannotLock, "this file system has no locks", path, err)
	case errors.Is(err, fs.ErrPermission):
		return unsafeAt(evercred.ReasonPermissions, "the refresh lock may not be made", path, err)
	}
	return unsafeAt(evercred.ReasonCannotLock, "the refresh lock cannot be made", path, err)
}

// lost explains a guard whose Check failed.
func lost(path string, err error) error {
	if errors.Is(err, ledger.ErrLost) {
		return &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "the refresh lock is no longer ours", Where: path, Err: err}
	}
	return unsafeAt(evercred.ReasonCannotLock, "the refresh lock cannot be checked", path, err)
}
