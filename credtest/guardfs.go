package credtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evercred/evercred/internal/fsys"
)

// GuardFS is inner without the real paths of the owners' logins: every
// operation that names one fails, reaches nothing, and makes [Main] fail,
// whatever the test makes of the error. extra are more paths
// to forbid, absolute. It needs Main;
// without it, GuardFS panics, since its refusals would go unseen. For this
// module's own tests.
func GuardFS(inner fsys.FS, extra ...string) fsys.FS {
	report := os.Getenv(reportVar)
	if report == "" {
		panic("credtest: GuardFS without credtest.Main in TestMain")
	}
	paths := forbidden()
	for _, p := range extra {
		paths = append(paths, named(p)...)
	}
	return guardFS{inner, paths, func(op, name string) { note(report, op, name) }}
}

// note appends a line to the report, which all processes of a test run share.
func note(report, op, name string) {
	f, err := os.OpenFile(report, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(op + " " + name + "\n")
		f.Close()
	}
	if err != nil {
		panic("credtest: a test asked for a real path, and that cannot be noted: " + err.Error())
	}
}

// forbidden are the real paths as the guard, here or in a parent, found them.
func forbidden() []string { return filepath.SplitList(os.Getenv(forbidVar)) }

// forbids reports whether name is one of paths or lies below one, by its words
// or by way of links. It looks at links one by one, and at nothing below paths.
// Case is ignored, as some systems do.
func forbids(paths []string, name string) bool {
	name, err := filepath.Abs(name)
	if err != nil {
		return true
	}
	for range maxLinks {
		if slices.ContainsFunc(paths, func(p string) bool { return below(p, name) }) {
			return true
		}
		next, linked := follow(name)
		if !linked {
			return false
		}
		name = next
	}
	return false // a loop, which no system call gets through either
}

// maxLinks is what Linux follows in one path.
const maxLinks = 40

func below(dir, name string) bool {
	const sep = string(filepath.Separator)
	dir, name = strings.ToLower(filepath.Clean(dir)), strings.ToLower(name)
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, sep)+sep)
}

// follow replaces the first link in an absolute path by where it leads.
func follow(name string) (to string, linked bool) {
	const sep = string(filepath.Separator)
	at := filepath.VolumeName(name) + sep
	parts := strings.Split(strings.TrimPrefix(name, at), sep)
	for i, part := range parts {
		dir := at
		at = filepath.Join(at, part)
		to, err := os.Readlink(at)
		if err != nil {
			continue
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		return filepath.Join(append([]string{to}, parts[i+1:]...)...), true
	}
	return name, false
}

// named gives the two names of a forbidden path: as it is, and with the links
// on the way to it followed. The path itself is not looked at.
func named(path string) []string {
	dir := filepath.Dir(path)
	for range maxLinks {
		next, linked := follow(dir)
		if !linked {
			break
		}
		dir = next
	}
	return []string{path, filepath.Join(dir, filepath.Base(path))}
}

// guardFS names every operation of fsys.FS itself, rather than embedding it, so
// that a new one cannot slip past.
type guardFS struct {
	inner   fsys.FS
	paths   []string
	refused func(op, name string)
}

var _ fsys.FS = guardFS{}

func (g guardFS) check(op string, names ...string) error {
	for _, name := range names {
		if forbids(g.paths, name) {
			g.refused(op, name)
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
		}
	}
	return nil
}

func (g guardFS) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	if err := g.check("open", name); err != nil {
		return nil, err
	}
	return g.inner.OpenFile(name, flag, perm)
}

func (g guardFS) OpenDir(name string) (fsys.File, error) {
	if err := g.check("open", name); err != nil {
		return nil, err
	}
	return g.inner.OpenDir(name)
}

func (g guardFS) Stat(name string) (fsys.Info, error) {
	if err := g.check("stat", name); err != nil {
		return fsys.Info{}, err
	}
	return g.inner.Stat(name)
}

func (g guardFS) Lstat(name string) (fsys.Info, error) {
	if err := g.check("lstat", name); err != nil {
		return fsys.Info{}, err
	}
	return g.inner.Lstat(name)
}

func (g guardFS) ReadDir(name string) ([]string, error) {
	if err := g.check("readdir", name); err != nil {
		return nil, err
	}
	return g.inner.ReadDir(name)
}

func (g guardFS) Readlink(name string) (string, error) {
	if err := g.check("readlink", name); err != nil {
		return "", err
	}
	return g.inner.Readlink(name)
}

func (g guardFS) Mkdir(name string, perm fs.FileMode) error {
	if err := g.check("mkdir", name); err != nil {
		return err
	}
	return g.inner.Mkdir(name, perm)
}

func (g guardFS) Remove(name string) error {
	if err := g.check("remove", name); err != nil {
		return err
	}
	return g.inner.Remove(name)
}

func (g guardFS) Rmdir(name string) error {
	if err := g.check("rmdir", name); err != nil {
		return err
	}
	return g.inner.Rmdir(name)
}

func (g guardFS) Rename(from, to string) error {
	if err := g.check("rename", from, to); err != nil {
		return err
	}
	return g.inner.Rename(from, to)
}

func (g guardFS) RenameNoReplace(from, to string) error {
	if err := g.check("rename", from, to); err != nil {
		return err
	}
	return g.inner.RenameNoReplace(from, to)
}

func (g guardFS) Chown(name string, uid, gid int) error {
	if err := g.check("chown", name); err != nil {
		return err
	}
	return g.inner.Chown(name, uid, gid)
}

func (g guardFS) Kind(name string) (fsys.Kind, error) {
	if err := g.check("statfs", name); err != nil {
		return fsys.Kind{}, err
	}
	return g.inner.Kind(name)
}
