package filestore

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/evercred/evercred/internal/fsys"
)

// notes are the warnings of FAILURES F3, F5 and L8. What cannot be learned is
// not warned of.
func (s *Store) notes(target string, info fsys.Info) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if perm := info.Mode.Perm(); perm&0o077 != 0 {
		note("%s is open to other users of this machine (mode %04o)", target, perm)
	}
	if me := os.Geteuid(); info.UID >= 0 && info.UID != me {
		note("%s belongs to user %d, we are user %d", target, info.UID, me)
	}
	dir, err := s.disk.Stat(filepath.Dir(target))
	if err == nil && dir.Mode.Perm()&0o002 != 0 {
		note("every user may write to the directory %s", filepath.Dir(target))
	}
	if info.Nlink > 1 {
		note("%s has %d names (hard links): it is saved in place", target, info.Nlink)
	}
	if err == nil && fileMount(info, dir) {
		note("%s alone is a mount point: locks do not reach its other side, and a save is not atomic", target)
	}
	if kind, err := s.disk.Kind(target); err == nil && kind.Remote {
		note("%s lies on a network or FUSE file system (%s): other machines are not excluded", target, kind.Name)
	}
	return notes
}

// fileMount reports whether the file alone is a mount point. Linux says so
// itself; there the device numbers may differ for another reason (a lower layer
// of overlayfs). Elsewhere they are all there is.
func fileMount(file, dir fsys.Info) bool {
	return file.MountRoot || asksDirectory && file.Dev != dir.Dev
}

// asksDirectory: a file mount is known only by a look at its directory.
const asksDirectory = runtime.GOOS != "linux"
