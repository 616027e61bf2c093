package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/evercred/evercred/internal/fsys"
)

// tries bounds every start-over after a race with another process of ours.
const tries = 10

// errAgain: another process of ours was quicker; look again.
var errAgain = errors.New("the ledger keeps changing")

// folder is a ledger that is there, and whose owner is known.
type folder struct {
	*Ledger
	owner fsys.Info // of the document's directory
}

// make makes what is missing of the folder. VERSION is made when .evercred is
// durable, and the guard when NAME is: so an attempt need sync no directory but
// its own (DESIGN §6.6).
func (l *Ledger) make() (*folder, error) {
	owner, err := l.s.FS.Stat(l.dir)
	if err != nil {
		return nil, err
	}
	d := &folder{l, owner}
	version, err := l.version() // before anything is touched (F11)
	if errors.Is(err, fs.ErrPermission) {
		if err = d.makeDir(l.root); err == nil { // root's leftover; see vet
			version, err = l.version()
		}
	}
	if err != nil {
		return nil, err
	}
	for _, path := range []string{l.root, l.path} {
		if err := d.makeDir(path); err != nil {
			return nil, err
		}
	}
	if version == 0 {
		if err := d.makeVersion(); err != nil {
			return nil, err
		}
	}
	return d, d.makeGuard()
}

func (d *folder) makeDir(path string) error {
	for range tries {
		i, err := d.s.FS.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = d.mkdir(path)
		case err == nil:
			err = d.vet(path, i)
		}
		if !errors.Is(err, errAgain) {
			return err
		}
	}
	return fmt.Errorf("%s: %w", path, errAgain)
}

// mkdir leaves nothing behind that is not the owner's (F10).
func (d *folder) mkdir(path string) error {
	err := d.s.FS.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return errAgain
	}
	if err != nil {
		return err
	}
	err = d.give(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errAgain // the owner's own process took ours for a leftover; see vet
	}
	if err != nil {
		d.s.FS.Rmdir(path)
	}
	return err
}

// vet accepts a private directory of the owner's and mends a wide one (S5). An
// empty one of somebody else's is what a killed `sudo evercred` leaves (F10): it
// is replaced, which the directory's owner may do.
func (d *folder) vet(path string, i fsys.Info) error {
	if !i.Mode.IsDir() {
		return fmt.Errorf("%s: %w", path, ErrPlanted)
	}
	if err := d.owned(path, i); err != nil {
		if d.s.FS.Rmdir(path) == nil {
			return errAgain
		}
		return err
	}
	if i.UID < 0 || i.Mode.Perm()&0o077 == 0 { // Windows has other means
		return nil
	}
	f, err := d.s.FS.OpenDir(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(0o700)
}

func (d *folder) makeVersion() error {
	if err := d.syncDir(d.dir); err != nil {
		return err
	}
	if err := d.put(filepath.Join(d.root, ignoreName), []byte("*\n")); err != nil {
		return err
	}
	return d.put(filepath.Join(d.root, versionName), fmt.Appendln(nil, FormatVersion))
}

func (d *folder) makeGuard() error {
	path := d.file(guardName)
	if _, err := d.s.FS.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.syncDir(d.root); err != nil {
		return err
	}
	f, err := d.stage()
	if err != nil {
		return err
	}
	f.Close()
	err = d.s.FS.RenameNoReplace(f.Name(), path)
	if err == nil {
		return nil
	}
	d.s.FS.Remove(f.Name())
	if errors.Is(err, fsys.ErrUnsupported) {
		if f, err = d.create(path); err == nil {
			return f.Close()
		}
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return nil // made by another process, or swept by it: opening it will tell
	}
	return err
}

// create makes a file of the owner's that nobody else made (S5).
func (d *folder) create(path string) (fsys.File, error) {
	f, err := d.s.FS.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := d.giveFile(f); err != nil {
		f.Close()
		d.s.FS.Remove(path)
		return nil, err
	}
	return f, nil
}

// stage makes a file under a name that nobody knows.
func (d *folder) stage() (fsys.File, error) {
	for range tries {
		tail, err := d.random()
		if err != nil {
			return nil, err
		}
		f, err := d.create(d.file(stagePrefix + tail))
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%s: %w", d.path, errAgain)
}

// put replaces the file at path at once. Its content is on disk before its
// name, so that a power cut leaves the old or the new. It starts over when the
// holder of the guard sweeps what it staged.
func (d *folder) put(path string, b []byte) error {
	var err error
	for range tries {
		if err = d.putOnce(path, b, fsys.File.Datasync); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func (d *folder) putOnce(path string, b []byte, sync func(fsys.File) error) error {
	f, err := d.stage()
	if err != nil {
		return err
	}
	if err = writeAt(f, b, 0); err == nil {
		err = sync(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.s.FS.Rename(f.Name(), path)
	}
	if err != nil {
		d.s.FS.Remove(f.Name())
	}
	return err
}

func (d *folder) syncDir(path string) error {
	f, err := d.s.FS.OpenDir(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, fsys.ErrUnsupported) {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// sweep removes what flights staged that ended before; only under the guard.
// What cannot be removed is in nobody's way.
func (d *folder) sweep() error {
	ids, err := d.list()
	for _, name := range ids.staged {
		if d.s.FS.Remove(d.file(name)) != nil {
			d.s.FS.Rmdir(d.file(name))
		}
	}
	return err
}

func (l *Ledger) random() (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(l.s.Rand, b[:]); err != nil {
		return "", fmt.Errorf("random: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
