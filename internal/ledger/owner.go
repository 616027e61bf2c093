package ledger

import (
	"fmt"

	"github.com/evercred/evercred/internal/fsys"
)

// give makes what lies at path, or the link there itself, the owner's.
func (d *folder) give(path string) error {
	i, err := d.s.FS.Lstat(path)
	if err != nil {
		return err
	}
	return d.settle(path, i, func() error { return d.s.FS.Chown(path, d.owner.UID, d.owner.GID) })
}

// giveFile is give for an open file.
func (d *folder) giveFile(f fsys.File) error {
	i, err := f.Stat()
	if err != nil {
		return err
	}
	return d.settle(f.Name(), i, func() error { return f.Chown(d.owner.UID, d.owner.GID) })
}

// settle calls chown unless owner and group are right already (F10). That the
// group alone cannot be given is borne: its members have no rights on 0600 and
// 0700, so nobody owns or trips over anything; a user need not be a member of
// the group of their own directory.
func (d *folder) settle(path string, i fsys.Info, chown func() error) error {
	if i.UID == d.owner.UID && i.GID == d.owner.GID {
		return nil
	}
	if err := chown(); err != nil && i.UID != d.owner.UID {
		return &OwnerError{Path: path, Have: i.UID, Want: d.owner.UID, Err: err}
	}
	return nil
}

// owned refuses what belongs to somebody else.
func (d *folder) owned(path string, i fsys.Info) error {
	if i.UID != d.owner.UID {
		return &OwnerError{Path: path, Have: i.UID, Want: d.owner.UID}
	}
	return nil
}

// Own gives what lies at path the owner and group of the document's directory.
func (g *Guard) Own(path string) error {
	if err := g.folder.give(path); err != nil {
		return fmt.Errorf("own %s: %w", path, err)
	}
	return nil
}
