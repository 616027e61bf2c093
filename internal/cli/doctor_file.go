package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
)

// root is the user whom permissions do not bind.
const root = 0

// file looks at whom the file belongs to and who may read it (FAILURES F3, F5).
// What stands in its place, if it is no file, is in the state of the login.
func (x *examination) file() {
	i, err := x.FS.Lstat(x.target)
	if x.target == "" || err != nil || !i.Mode.IsRegular() {
		return
	}
	found, me := len(x.findings), os.Geteuid()
	if perm := i.Mode.Perm(); i.UID >= 0 && perm&0o077 != 0 {
		x.warn(string(evercred.ReasonPermissions), x.target, "chmod 600 "+quoted(x.target)+" (the next save does it, too)", "the file is open to other users of this machine (mode %04o)", perm)
	}
	if i.UID >= 0 && i.UID != me && me != root {
		x.bad(string(evercred.ReasonForeignOwner), x.target, "run this as that user, or as root: "+chown(me, x.target), "the file belongs to user %d, and this is user %d: it cannot be saved as it is", i.UID, me)
	}
	if i.Nlink > 1 {
		x.warn("hard-link", x.target, "keep one name; a copy is no backup, since its token will be spent", "the file has %d names (hard links): it is saved in place, and a reader may meet half a save", i.Nlink)
	}
	x.mount(i)
	if len(x.findings) == found {
		x.ok("file", x.target, "the file is private and %s", whose(i.UID, me))
	}
}

func chown(uid int, path string) string { return "chown " + strconv.Itoa(uid) + " " + quoted(path) }

// whose speaks of a user.
func whose(uid, me int) string {
	if uid == me { // both -1 on Windows, where access lists tell more
		return "yours"
	}
	return "belongs to user " + strconv.Itoa(uid)
}

// mount tells of a file that alone is mounted, and of a disk of other machines
// (FAILURES F3, L8).
func (x *examination) mount(i fsys.Info) {
	dir, err := x.FS.Stat(filepath.Dir(x.target))
	// Linux says it itself; elsewhere the device numbers are all there is.
	if i.MountRoot || err == nil && runtime.GOOS != "linux" && dir.Dev != i.Dev {
		what := "the file alone is a mount point: no lock reaches its other side, and it cannot be replaced at once"
		if x.app.common.allowFileMount {
			x.warn(string(evercred.ReasonFileMount), x.target, "mount the directory instead of the file", "%s", what)
		} else {
			x.bad(string(evercred.ReasonFileMount), x.target, x.app.remedy(evercred.ReasonFileMount), "%s; so it is not refreshed", what)
		}
	}
	if kind, err := x.FS.Kind(x.target); err == nil && kind.Remote {
		x.warn(string(evercred.ReasonNetworkFS), x.target, x.app.remedy(evercred.ReasonNetworkFS), "the file lies on a network or FUSE file system (%s): other machines are not excluded", kind.Name)
	}
}

// dirs are the directories in which a refresh makes something: that of the
// file, and that of the link which leads to it.
func (x *examination) dirs() []string {
	var dirs []string
	for _, path := range []string{x.near, x.target} {
		if dir := filepath.Dir(path); path != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// directory looks who may replace the file and make its locks (FAILURES F5, F10).
func (x *examination) directory() {
	me := os.Geteuid()
	for _, path := range x.dirs() {
		i, err := x.FS.Stat(path)
		if err != nil {
			continue
		}
		found := len(x.findings)
		if i.UID >= 0 && i.Mode.Perm()&0o002 != 0 {
			x.bad("open-directory", path, "chmod o-w "+quoted(path), "every user of this machine may write to the directory (mode %04o)", i.Mode.Perm())
		}
		if i.UID >= 0 && i.UID != me && me != root {
			x.bad(string(evercred.ReasonForeignOwner), path, "run this as that user, or as root: "+chown(me, path), "the directory belongs to user %d, and this is user %d: what is made in it could not be given to its owner", i.UID, me)
		}
		if f, err := x.FS.Lstat(x.target); err == nil && f.UID != i.UID && path == filepath.Dir(x.target) {
			x.warn(string(evercred.ReasonForeignOwner), x.target, "let both belong to the user of the login", "the file belongs to user %d and its directory to user %d", f.UID, i.UID)
		}
		if len(x.findings) == found {
			x.ok("directory", path, "the directory is not open to everybody, and %s", whose(i.UID, me))
		}
	}
}

// enough is what a refresh writes at most, with room for neighbours that grow.
const enough = 1 << 20

// saving asks the system whether a refresh could be saved, without trying
// (FAILURES F4).
func (x *examination) saving() {
	for _, path := range x.dirs() {
		if err := writable(path); err != nil {
			x.bad(string(evercred.ReasonCannotSave), path, x.app.remedy(evercred.ReasonCannotSave), "a refresh could not be saved: %v", err)
			continue
		}
		if free, err := freeSpace(path); err == nil && free < enough {
			x.bad(string(evercred.ReasonCannotSave), path, "make room on that disk", "a refresh might not fit: %d bytes are free", free)
			continue
		}
		x.ok("saving", path, "a refresh can be saved")
	}
}
