package durable

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
)

// Plan says what a staged file shall replace.
type Plan struct {
	FS   fsys.FS
	Rand io.Reader
	// Path is the document's, with every link resolved.
	Path string
	// Like is the document, open: its owner, group, mode and attributes are kept.
	Like fsys.File
	// Keep masks the permission bits that are kept: 0o700 takes those of group
	// and others away.
	Keep fs.FileMode
	// Staging is a private folder on the document's file system.
	Staging string
	// Size is how many bytes to reserve.
	Size int64
}

// Staged is a temporary file that is ready to take a document's place.
type Staged struct {
	disk         fsys.FS
	path         string
	name         string // empty: gone
	file         fsys.File
	info         fsys.Info
	replaces     fsys.Info
	dir, staging fsys.File
}

var _ Prepared = (*Staged)(nil)

// Stage makes the temporary file: private before it has any content, with the
// document's owner, mode and attributes, with its space reserved, and with both
// folders open, so that not even a lack of descriptors can stop Commit.
func Stage(p Plan) (_ *Staged, err error) {
	s := &Staged{disk: p.FS, path: p.Path}
	defer func() {
		if err != nil {
			err = fmt.Errorf("stage a new %s: %w", filepath.Base(p.Path), errors.Join(err, s.Discard()))
		}
	}()
	if s.replaces, err = p.Like.Stat(); err != nil {
		return nil, err
	}
	if err = s.openDirs(p.Staging); err != nil {
		return nil, err
	}
	if err = s.create(p); err != nil {
		return nil, err
	}
	if err = s.dress(p.Like, p.Keep); err != nil {
		return nil, err
	}
	if err = reserve(s.file, p.Size); err != nil {
		return nil, err
	}
	return s, nil
}

// openDirs opens both folders and compares their devices: those of files would
// mislead, since overlayfs shows a file of a lower layer with that layer's.
func (s *Staged) openDirs(staging string) (err error) {
	if s.dir, err = s.disk.OpenDir(filepath.Dir(s.path)); err != nil {
		return err
	}
	if s.staging, err = s.disk.OpenDir(staging); err != nil {
		return err
	}
	to, err := s.dir.Stat()
	if err != nil {
		return err
	}
	from, err := s.staging.Stat()
	if err != nil {
		return err
	}
	if from.Dev != to.Dev || from.MountRoot {
		return fmt.Errorf("%s: %w", staging, ErrDevice)
	}
	return nil
}

// create makes the file exclusively: a link or file that somebody planted at
// our name is refused (FAILURES S5).
func (s *Staged) create(p Plan) error {
	var random [8]byte
	if _, err := io.ReadFull(p.Rand, random[:]); err != nil {
		return err
	}
	name := filepath.Join(p.Staging, prefix+hex.EncodeToString(random[:]))
	f, err := s.disk.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	s.file, s.name = f, name
	return nil
}

// dress gives the file what the old one has. The mode comes last: on a file
// with an access list it sets that list's mask, so access is never wider than
// both allow.
func (s *Staged) dress(like fsys.File, keep fs.FileMode) error {
	own, err := s.file.Stat()
	if err != nil {
		return err
	}
	want, perm := s.replaces, s.replaces.Mode.Perm()&keep
	if own.UID != want.UID || own.GID != want.GID {
		// A user need not be a member of the file's group. Where the group has no
		// rights anyway, that it cannot be given harms nobody.
		err := s.file.Chown(want.UID, want.GID)
		if err != nil && (own.UID != want.UID || perm&0o070 != 0) {
			return fmt.Errorf("%w: %w", ErrOwner, err)
		}
	}
	if err := s.file.CopyAttrs(like); err != nil {
		return err
	}
	if err := s.file.Chmod(perm); err != nil {
		return err
	}
	s.info, err = s.file.Stat()
	if err != nil {
		return err
	}
	// A file system may accept all of that and ignore it (vfat, some of FUSE). There
	// the old file has looked the same.
	got := s.info
	if got.UID != want.UID || got.GID != want.GID && perm&0o070 != 0 || got.Mode.Perm()&^want.Mode.Perm() != 0 {
		return fmt.Errorf("%w: it has %d:%d %v", ErrOwner, got.UID, got.GID, got.Mode)
	}
	return nil
}

// Replaces is the file that was staged for.
func (s *Staged) Replaces() fsys.Info { return s.replaces }

// Commit writes data to the temporary file, makes it durable, checks it, and
// renames it to the path. A reader of the path sees the old document or the new
// one, never a mixture (FAILURES F7).
func (s *Staged) Commit(data []byte, check func() error) (_ Result, err error) {
	defer func() {
		if err = errors.Join(err, s.Discard()); err != nil {
			err = fmt.Errorf("replace %s: %w", s.path, err)
		}
	}()
	if err := s.write(data); err != nil {
		return Result{}, err
	}
	crash.At(crash.DuringSave)
	if err := check(); err != nil {
		return Result{}, err
	}
	if err := s.disk.Rename(s.name, s.path); err != nil {
		return Result{}, err
	}
	s.name = "" // it bears the document's name now
	for _, d := range []fsys.File{s.dir, s.staging} {
		if err := syncDir(d); err != nil {
			return Result{}, fmt.Errorf("%w: %w", ErrUnsettled, err)
		}
	}
	r, err := readBack(s.disk, s.path, s.info, data)
	switch {
	case err == nil, errors.Is(err, ErrOvertaken):
		return r, err
	case errors.Is(err, errDiffers):
		return r, fmt.Errorf("%w: %w", ErrTorn, err)
	}
	return r, fmt.Errorf("%w: %w", ErrUnsettled, err)
}

// write fills the temporary file and proves that it holds data, before anything
// points to it. Close comes before the rename, because some file systems report
// a late failure there.
func (s *Staged) write(data []byte) error {
	if err := put(s.file, data); err != nil {
		return err
	}
	// What was reserved and not needed goes back; the size stays.
	if err := s.file.Truncate(int64(len(data))); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	got, err := readAll(s.file, int64(len(data)))
	if err != nil {
		return err
	}
	if info.Size != int64(len(data)) || !bytes.Equal(got, data) {
		return fmt.Errorf("%s: %w", s.name, errDiffers)
	}
	err = s.file.Close()
	s.file = nil
	return err
}

// Discard closes what is open and removes the temporary file.
func (s *Staged) Discard() error {
	for _, f := range []*fsys.File{&s.file, &s.dir, &s.staging} {
		if *f != nil {
			(*f).Close() // nothing that matters was written through it
			*f = nil
		}
	}
	if s.name == "" {
		return nil
	}
	err := s.disk.Remove(s.name)
	s.name = ""
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
