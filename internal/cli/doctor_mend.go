package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/sources"
)

// mend gives our own records back to the owner of the directory, closes them to
// others (FAILURES F10), and removes what interrupted refreshes staged. Records
// of a newer version stay as they are (F11).
func (x *examination) mend() (mended []string, failed []finding) {
	for _, book := range x.folders() {
		if isNewer(book) {
			continue
		}
		done, err := x.giveBack(book)
		mended = append(mended, done...)
		if err == nil {
			done, err = x.sweep(book)
			mended = append(mended, done...)
		}
		if err != nil {
			failed = append(failed, finding{"mending", levelBad, fmt.Sprintf("not everything could be mended: %v", err), book.Path(), x.mendHint(err)})
		}
	}
	return mended, failed
}

func (x *examination) mendHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return x.asRoot()
	case errors.Is(err, ledger.ErrHeld):
		return "try again when that process has ended"
	}
	return remedy(evercred.ReasonCannotSave, makes{})
}

// asRoot is the command that mends. Root has another home, so it names the login.
func (x *examination) asRoot() string {
	switch x.login.kind() {
	case sources.File:
		return "sudo evercred doctor --fix --source " + quoted(sources.File+":"+x.near)
	case sources.Profile: // which is found by a directory that only the variable names
		dir := filepath.Dir(x.near)
		owner, _ := x.FS.Stat(dir)
		return fmt.Sprintf("sudo chown -R %d %s", owner.UID, quoted(filepath.Join(dir, ".evercred")))
	}
	return "sudo evercred doctor --fix --config-dir " + quoted(filepath.Dir(x.near))
}

func isNewer(book *ledger.Ledger) bool {
	_, err := book.Attempts()
	_, merr := book.Memory()
	return errors.Is(err, ledger.ErrNewer) || errors.Is(merr, ledger.ErrNewer)
}

// giveBack mends owner and mode. Root does this in a directory that a user may
// change meanwhile, so it goes by descriptors below one root and never by a
// path: no link and no second name of a file can lead it elsewhere.
func (x *examination) giveBack(book *ledger.Ledger) (mended []string, err error) {
	dir := filepath.Dir(filepath.Dir(book.Path()))
	owner, err := x.FS.Stat(dir)
	if err != nil || owner.UID < 0 {
		return nil, err
	}
	below, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer below.Close()
	for _, e := range x.ours(book) {
		what, err := mendEntry(below, e, owner)
		if err != nil {
			return mended, err
		}
		if what != "" {
			mended = append(mended, what+" "+filepath.Join(dir, e.rel))
		}
	}
	return mended, nil
}

// mendEntry says what it did; empty: nothing was wrong, or it is not ours.
func mendEntry(below *os.Root, e entry, owner fsys.Info) (what string, err error) {
	private := fs.FileMode(0o600)
	switch {
	case e.info.Mode.IsDir():
		private = 0o700
	case !e.info.Mode.IsRegular() || e.info.Nlink != 1:
		return "", nil
	}
	if e.info.UID == owner.UID && e.info.Mode.Perm()&0o077 == 0 {
		return "", nil
	}
	f, err := openSame(below, e)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if e.info.UID != owner.UID {
		what = fmt.Sprintf("gave user %d", owner.UID)
		if err := f.Chown(owner.UID, owner.GID); err != nil {
			return "", err
		}
	}
	if e.info.Mode.Perm()&0o077 != 0 {
		if what == "" {
			what = "closed to other users:"
		}
		if err := f.Chmod(private); err != nil {
			return "", err
		}
	}
	return what, nil
}

// sweep removes what flights that ended staged, by taking the guard, whose
// holder does just that.
func (x *examination) sweep(book *ledger.Ledger) (mended []string, err error) {
	staged := x.staged(book)
	if len(staged) == 0 {
		return nil, nil
	}
	g, err := book.TryGuard()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Release()) }()
	for _, path := range staged {
		if _, err := x.FS.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			mended = append(mended, "removed "+path)
		}
	}
	return mended, nil
}
