package filestore

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/durable"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/hold"
)

// whole is what the file holds, or will hold as soon as a write in place ends
// that is under way or was cut short (FAILURES F3, F5). It writes nothing, and
// asks nothing where the file is written by a rename.
func (s *Store) whole(target string, c content) []byte {
	if !s.writtenInPlace(target, c.info) {
		return c.data
	}
	old, data, _, err := s.ledger(target).Redo()
	if err == nil && durable.Mixture(old, data, c.data) {
		return data
	}
	return c.data
}

func (s *Store) writtenInPlace(target string, info fsys.Info) bool {
	if info.Nlink > 1 || info.MountRoot {
		return true
	}
	if !asksDirectory {
		return false
	}
	dir, err := s.disk.Stat(filepath.Dir(target))
	return err == nil && fileMount(info, dir)
}

// mend ends a write in place that was cut short, under all the locks of a save,
// so that nobody goes on from half of a document. Whatever else the file holds
// is somebody's; then the redo record is of no more use.
func (h *held) mend(ctx context.Context) error {
	old, data, found, err := h.main.Redo()
	if err != nil {
		return hold.Unlockable(h.store.disk, h.place.target, err)
	}
	if !found {
		return nil
	}
	c, err := h.store.read(h.place.target)
	if err != nil && !errors.Is(err, evercred.ErrNotFound) {
		return err
	}
	if err == nil && durable.Mixture(old, data, c.data) {
		if err := h.redo(ctx, old, data); err != nil {
			return unsavable(h.place.target, err)
		}
	}
	return unsavable(h.place.target, h.main.ClearRedo())
}

// redo writes the new document, whole.
func (h *held) redo(ctx context.Context, old, data []byte) error {
	check := h.Check
	if h.Owner != nil {
		ctx, cancel := context.WithTimeout(ctx, h.store.seams.Times.WriteWait/4)
		defer cancel()
		write, err := h.Owner.LockWrite(ctx)
		if err != nil {
			return err
		}
		defer write.Unlock() // one that cannot be released is found by its next user
		check = func() error { return errors.Join(h.Check(), write.Check()) }
	}
	return durable.Mend(h.store.disk, h.place.target, old, data, check)
}
