package filestore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/durable"
	"github.com/evercred/evercred/internal/fsys"
)

// Prepare does everything of a Save that may fail early (DESIGN §6.6): the
// temporary file in the ledger, of the right owner and with its space reserved;
// and it asks whether the file can be replaced at all.
func (h *held) Prepare(ctx context.Context, old evercred.Document) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return err
	}
	if err := h.discard(); err != nil {
		return unsavable(h.place.target, err)
	}
	f, err := h.openOld(old)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := h.TryWrite(ctx, h.store.seams.Times.WriteWait/4); err != nil {
		return err
	}
	return h.ready(f)
}

// Save replaces old by data, in one step for every reader, or in place where
// that is not possible (a hard link; a file mount, if allowed). It needs the
// lock, taken through this Store.
//
// ErrConflict: the file does not hold old. ErrLocked: a lock was lost, or the
// owner is writing. ErrUnsafe: it failed and old is still there, unless the
// message says that the failure came half-way.
func (s *Store) Save(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
	h := s.holding()
	if h == nil {
		return evercred.Document{}, unsafeAt(evercred.ReasonBug, "save without the lock", s.path, nil)
	}
	if int64(len(data)) > s.opts.MaxSize {
		return evercred.Document{}, tooLarge(s.path, s.opts.MaxSize)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	check, release, err := h.ForWrite(ctx)
	if err != nil {
		return evercred.Document{}, err
	}
	defer release()
	crash.At(crash.BeforeSave)
	r, err := h.save(old, data, check)
	if err != nil {
		return evercred.Document{}, unsavable(h.place.target, err)
	}
	crash.At(crash.AfterSave)
	return s.document(h.place.target, content{r.Data, r.Info}), nil
}

// save compares and swaps. The comparison is made twice: before anything is
// written, and at the last moment.
func (h *held) save(old evercred.Document, data []byte, check func() error) (durable.Result, error) {
	f, err := h.openOld(old)
	if err != nil {
		return durable.Result{}, err
	}
	err = h.ready(f)
	f.Close() // Windows replaces no file that is open, not even for us
	if err != nil {
		return durable.Result{}, err
	}
	prepared := h.prepared
	h.prepared = nil // Commit discards
	return prepared.Commit(data, func() error {
		if err := check(); err != nil {
			return err
		}
		again, err := h.openOld(old)
		if err == nil {
			again.Close()
		}
		return err
	})
}

// openOld opens the file if it still holds old, at the place that is locked.
func (h *held) openOld(old evercred.Document) (fsys.File, error) {
	f, c, err := h.openNow()
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		return nil, conflict(h.place.target, "the file is gone", nil)
	case err != nil:
		return nil, err
	case old.IsZero() || !bytes.Equal(c.data, old.Bytes()):
		f.Close()
		return nil, conflict(h.place.target, "the file changed meanwhile", nil)
	}
	return f, nil
}

func (h *held) openNow() (fsys.File, content, error) {
	now, err := h.store.locate()
	if err != nil {
		return nil, content{}, err
	}
	if now != h.place {
		return nil, content{}, conflict(h.place.target, "the path leads elsewhere now", nil)
	}
	f, info, err := h.store.open(now.target)
	if err != nil {
		return nil, content{}, err
	}
	c, err := h.store.readFrom(f, info)
	if err != nil {
		f.Close()
		return nil, content{}, err
	}
	return f, c, nil
}

// ready makes h.prepared fit the file f: what was prepared for it, or else anew.
func (h *held) ready(f fsys.File) error {
	info, err := f.Stat()
	if err != nil {
		return unreadable(h.place.target, err)
	}
	if h.prepared != nil && alike(h.prepared.Replaces(), info) {
		return nil
	}
	if err := h.discard(); err != nil {
		return unsavable(h.place.target, err)
	}
	h.prepared, err = h.prepare(f, info)
	return unsavable(h.place.target, err)
}

// alike: nothing that a save keeps or depends on differs.
func alike(a, b fsys.Info) bool {
	return fsys.SameFile(a, b) && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Nlink == b.Nlink && a.MountRoot == b.MountRoot
}

func (h *held) prepare(f fsys.File, info fsys.Info) (durable.Prepared, error) {
	s, target := h.store, h.place.target
	dir, err := s.disk.Stat(filepath.Dir(target))
	if err != nil {
		return nil, err
	}
	size := info.Size + durable.Spare
	switch {
	case info.Size > s.opts.MaxSize-min(durable.Spare, s.opts.MaxSize/64):
		return nil, unsafeAt(evercred.ReasonTooLarge, "the document is so large that its successor might not be readable", target, nil)
	case fileMount(info, dir) && !s.opts.AllowFileMount:
		return nil, unsafeAt(evercred.ReasonFileMount, "the file alone is a mount point, so it can be neither locked nor replaced", target, nil)
	case fileMount(info, dir), info.Nlink > 1:
		return h.inPlace(size)
	}
	if err := h.replaceable(info); err != nil {
		return nil, err
	}
	return h.stage(f, size)
}

func (h *held) inPlace(size int64) (durable.Prepared, error) {
	p, err := durable.OpenInPlace(h.store.disk, h.place.target, size, h.main)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (h *held) stage(like fsys.File, size int64) (durable.Prepared, error) {
	keep := fs.ModePerm
	if h.store.opts.Private {
		keep = 0o700
	}
	p, err := durable.Stage(durable.Plan{
		FS:      h.store.disk,
		Rand:    h.store.seams.Rand,
		Path:    h.place.target,
		Like:    like,
		Keep:    keep,
		Staging: h.main.Staging(),
		Size:    size,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// replaceable asks, without changing anything, whether a rename could take the
// place of the file.
func (h *held) replaceable(info fsys.Info) error {
	disk, target := h.store.disk, h.place.target
	// An immutable file and a read-only file system say so when asked for
	// writing. A file that is merely 0400 can be replaced (not on Windows, whose
	// EACCES is no such number).
	f, err := disk.OpenFile(target, os.O_WRONLY, 0)
	switch {
	case err == nil:
		f.Close()
	case errors.Is(err, syscall.EACCES) && info.Mode.Perm()&0o200 == 0 && runtime.GOOS != "windows":
	default:
		return err
	}
	// Removing our own folder asks for the same rights in the directory as the
	// rename does, and cannot succeed: the guard lies in it. (A sticky directory
	// asks for its owner as well: nobody but that owner and root gets the guard.)
	err = disk.Rmdir(filepath.Dir(h.main.Staging()))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
