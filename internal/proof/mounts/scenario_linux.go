package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// scenario is a login on a mount, and what has to come of `evercred token`.
type scenario struct {
	name   string
	ground func(s *stand) error // what the login will stand on; nil: an ordinary directory
	lay    func(s *stand) error // what is done to it then
	left   time.Duration        // of the access token; 0: it has ended
	as     uint32               // the user who runs it; 0: root
	limit  string               // of prlimit(1)
	args   []string
	during func(s *stand) error // when the endpoint has committed
	again  issuer.Profile       // whether it answers a repeat

	code    int
	says    string // part of the message
	grant   bool
	unsaved bool // the grant cannot be saved at first
	litter  bool // what it made it could not remove
	mend    func(s *stand) error
	mended  uint32               // the user of the second run
	check   func(s *stand) error // what else holds after it
}

const alice, bob = 4201, 4202

const soon = 5 * time.Minute // in the window in which a token is renewed early

// stand is where one scenario happens.
type stand struct {
	dir    string // on which the login's own directory stands
	beside string // another, on the disk below
	login  *stage.Login
}

func (s *stand) at(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

func (s *stand) aside(name string) string { return filepath.Join(s.beside, name) }

func smallTmpfs(s *stand) error { return tmpfs(s.dir, ",size=1m,nr_inodes=100", 0) }

func smallExt4(s *stand) error { return ext4(s.dir, s.aside("image")) }

func fillTo(left int64) func(*stand) error {
	return func(s *stand) error { return fill(s.at("filler"), left) }
}

func fillInodesTo(left int) func(*stand) error {
	return func(s *stand) error { return fillInodes(s.at("filler"), left) }
}

func empty(s *stand) error { return os.RemoveAll(s.at("filler")) }

func freeFile(s *stand) error { return unmount(s.login.Path()) }

// emptyOver hides what is there below an empty file system.
func emptyOver(at func(*stand) string) func(*stand) error {
	return func(s *stand) error { return errors.Join(os.MkdirAll(at(s), 0o700), tmpfs(at(s), "", 0)) }
}

func claude(s *stand) string { return s.login.Dir }
func file(s *stand) string   { return s.login.Path() }
func root(s *stand) string   { return filepath.Dir(s.login.Ledger()) }
func ledger(s *stand) string { return s.login.Ledger() }

func freed(at func(*stand) string) func(*stand) error {
	return func(s *stand) error { return unmount(at(s)) }
}

func attributes(change string, at func(*stand) string) func(*stand) error {
	return func(s *stand) error { return attribute(at(s), change) }
}

// bindFile makes the login's file a mount point.
func bindFile(s *stand) error {
	s.login.InPlace = true
	outside := s.aside("outside.json")
	return errors.Join(copyFile(s.login.Path(), outside, 0o600), bind(outside, s.login.Path()))
}

// bindDir makes the login's directory a mount point.
func bindDir(s *stand) error {
	outside := s.aside("outside")
	return errors.Join(moveInto(s, outside), bind(outside, s.login.Dir))
}

// moveInto makes another directory hold the login's file.
func moveInto(s *stand, dir string) error {
	return errors.Join(os.Mkdir(dir, 0o700), copyFile(s.login.Path(), filepath.Join(dir, filepath.Base(s.login.Path())), 0o600), os.Remove(s.login.Path()))
}

func both(steps ...func(*stand) error) func(*stand) error {
	return func(s *stand) error {
		for _, step := range steps {
			if err := step(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// owned gives the login to a user.
func owned(uid int) func(*stand) error {
	return func(s *stand) error {
		return errors.Join(os.Chown(s.login.Dir, uid, uid), os.Chown(s.login.Path(), uid, uid), os.Chmod(s.dir, 0o777))
	}
}

// allOwned: nothing in the login's directory is anybody else's.
func allOwned(uid uint32) func(*stand) error {
	return func(s *stand) error {
		return filepath.WalkDir(s.login.Dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				return err
			}
			if st.Uid != uid || st.Gid != uid {
				return errors.New(path + " belongs to somebody else")
			}
			return nil
		})
	}
}

// overlaid puts the login's file into a layer below.
func overlaid(options string) func(*stand) error {
	return func(s *stand) error {
		lower, layers := s.aside("lower"), s.aside("layers")
		upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
		if err := errors.Join(moveInto(s, lower), os.Mkdir(layers, 0o700), tmpfs(layers, ",size=512k", 0),
			os.Mkdir(upper, 0o700), os.Mkdir(work, 0o700)); err != nil {
			return err
		}
		if options == "read-only" {
			return overlay(s.login.Dir, "lowerdir="+lower+":"+upper)
		}
		return overlay(s.login.Dir, "lowerdir="+lower+",upperdir="+upper+",workdir="+work)
	}
}

// copiedUp touches the file, so that the overlay has it in its upper layer.
func copiedUp(s *stand) error { return os.Chmod(s.login.Path(), 0o600) }

// elsewhere moves the file to another file system, with a link left in its place.
func elsewhere(s *stand) error {
	other := s.aside("other")
	if err := errors.Join(os.Mkdir(other, 0o700), tmpfs(other, "", 0)); err != nil {
		return err
	}
	to := filepath.Join(other, "login.json")
	return errors.Join(copyFile(s.login.Path(), to, 0o600), os.Remove(s.login.Path()), os.Symlink(to, s.login.Path()))
}

func stillLink(s *stand) error {
	if info, err := os.Lstat(s.login.Path()); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return errors.New("the link is gone")
	}
	return nil
}

var scenarios = []scenario{
	{name: "tmpfs", ground: smallTmpfs, grant: true},
	{name: "tmpfs noexec, nosuid, nodev, noatime", ground: func(s *stand) error {
		return tmpfs(s.dir, "", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME)
	}, grant: true},
	{name: "tmpfs full", ground: smallTmpfs, lay: fillTo(0), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs with 8 KB free", ground: smallTmpfs, lay: fillTo(8 << 10), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs with 32 KB free", ground: smallTmpfs, lay: fillTo(32 << 10), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs with 64 KB free", ground: smallTmpfs, lay: fillTo(64 << 10), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs with 160 KB free", ground: smallTmpfs, lay: fillTo(160 << 10), grant: true, mend: empty},
	{name: "tmpfs full, token valid", ground: smallTmpfs, lay: fillTo(0), left: soon, says: "no space left", mend: empty},
	{name: "tmpfs full after the grant", ground: smallTmpfs, during: fillTo(0), grant: true, unsaved: true, says: "no space left", mend: empty},
	{name: "tmpfs without inodes", ground: smallTmpfs, lay: fillInodesTo(0), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs with 4 inodes", ground: smallTmpfs, lay: fillInodesTo(4), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs with 8 inodes", ground: smallTmpfs, lay: fillInodesTo(8), code: 7, says: "no space left", mend: empty},
	{name: "tmpfs without inodes after the grant", ground: smallTmpfs, during: fillInodesTo(0), grant: true, unsaved: true, says: "no space left", mend: empty},

	{name: "read-only", ground: smallTmpfs, lay: func(s *stand) error { return readOnly(s.dir) }, code: 7, says: "read-only",
		mend: func(s *stand) error { return writable(s.dir) }},
	{name: "read-only, token valid", ground: smallTmpfs, left: soon, lay: func(s *stand) error { return readOnly(s.dir) }, says: "read-only",
		mend: func(s *stand) error { return writable(s.dir) }},
	{name: "file bound", lay: bindFile, code: 7, says: "mount point", mend: freeFile},
	{name: "file bound, token valid", lay: bindFile, left: soon, says: "mount point", mend: freeFile},
	{name: "file bound, allowed", lay: bindFile, args: []string{"--allow-file-mount"}, grant: true},
	{name: "file bound read-only, allowed", lay: both(bindFile, func(s *stand) error { return readOnly(s.login.Path()) }),
		args: []string{"--allow-file-mount"}, code: 7, says: "read-only", mend: func(s *stand) error { return writable(s.login.Path()) }},
	{name: "directory bound", lay: bindDir, grant: true},
	{name: "directory bound read-only", lay: both(bindDir, func(s *stand) error { return readOnly(s.login.Dir) }), code: 7, says: "read-only",
		mend: func(s *stand) error { return writable(s.login.Dir) }},
	{name: "directory bound into a read-only one", ground: smallTmpfs, lay: both(bindDir, func(s *stand) error { return readOnly(s.dir) }), grant: true},
	{name: "directory hidden by another mount", lay: emptyOver(claude), code: 3, says: "no such file", mend: freed(claude)},
	{name: "ledger on another file system", lay: emptyOver(ledger), code: 7, says: "cross-device", mend: freed(ledger)},
	{name: "folder of ledgers on another file system", lay: emptyOver(root), code: 7, says: "busy", mend: freed(root)},
	{name: "overlay, the file in the lower layer", lay: overlaid(""), grant: true},
	{name: "overlay, the file in the upper layer", lay: both(overlaid(""), copiedUp), grant: true},
	{name: "overlay, its upper layer full", lay: both(overlaid(""), func(s *stand) error { return fill(filepath.Join(s.aside("layers"), "filler"), 0) }),
		code: 7, says: "no space left", mend: func(s *stand) error { return os.Remove(filepath.Join(s.aside("layers"), "filler")) }},
	{name: "overlay without an upper layer", lay: overlaid("read-only"), code: 7, says: "read-only"},
	{name: "link to another file system", lay: elsewhere, grant: true, check: stillLink},
	{name: "link to a read-only file system", lay: both(elsewhere, func(s *stand) error { return readOnly(s.aside("other")) }), code: 7, says: "read-only",
		mend: func(s *stand) error { return writable(s.aside("other")) }, check: stillLink},

	{name: "ext4", ground: smallExt4, grant: true},
	{name: "ext4 full", ground: smallExt4, lay: fillTo(0), code: 7, says: "no space left", mend: empty},
	{name: "ext4 full after the grant", ground: smallExt4, during: fillTo(0), grant: true, mend: empty},
	{name: "ext4 full but for what root may use", ground: smallExt4, lay: both(owned(alice), fillTo(300<<10)), as: alice, code: 7, says: "no space left", mend: empty, mended: alice},
	{name: "ext4 failing after the grant", ground: smallExt4, lay: func(s *stand) error { return synced(s.dir) }, again: issuer.Idempotent(time.Hour),
		during: func(s *stand) error { return shutDown(s.dir) }, litter: true, grant: true, unsaved: true, says: "input/output error", mend: func(s *stand) error {
			return errors.Join(unmount(s.dir), mountExt4(s.dir, s.aside("image")))
		}},
	{name: "immutable file", ground: smallExt4, lay: attributes("+i", file), code: 7, says: "not permitted", mend: attributes("-i", file)},
	{name: "immutable file after the grant", ground: smallExt4, during: attributes("+i", file), grant: true, unsaved: true, says: "not permitted", mend: attributes("-i", file)},
	{name: "immutable directory", ground: smallExt4, lay: attributes("+i", claude), code: 7, says: "not permitted", mend: attributes("-i", claude)},
	{name: "append-only file", ground: smallExt4, lay: attributes("+a", file), code: 7, says: "not permitted", mend: attributes("-a", file)},
	{name: "append-only directory", ground: smallExt4, lay: attributes("+a", claude), code: 7, says: "not permitted", litter: true, mend: attributes("-a", claude)},

	{name: "no file above 512 bytes", limit: "--fsize=512", code: 7, says: "file too large"},
	{name: "no file above an attempt without an answer", limit: "--fsize=1024", code: 7, says: "file too large"},
	{name: "no file above an attempt with a part of the answer", limit: "--fsize=1200", grant: true},
	{name: "no file above 32 KB", limit: "--fsize=32768", grant: true},
	{name: "no file above 512 bytes, token valid", limit: "--fsize=512", left: soon, says: "file too large"},
	{name: "8 descriptors", limit: "--nofile=8", code: 7, says: "too many open files"},
	{name: "12 descriptors", limit: "--nofile=12", code: 7, says: "too many open files"},

	{name: "root in a user's directory", lay: owned(alice), grant: true, check: allOwned(alice)},
	{name: "the user in the directory", lay: owned(alice), as: alice, grant: true, check: allOwned(alice)},
	{name: "a user who may not read", lay: both(owned(alice), func(s *stand) error { return os.Chmod(s.login.Dir, 0o755) }), as: bob, code: 7, says: "permission denied", mended: alice},
	{name: "a user who may only read", lay: both(owned(alice), func(s *stand) error {
		return errors.Join(os.Chmod(s.login.Dir, 0o755), os.Chmod(s.login.Path(), 0o644))
	}), as: bob, code: 7, says: "permission denied", mended: alice, check: allOwned(alice)},
	{name: "a directory that anybody may write to", lay: both(owned(alice), func(s *stand) error {
		return errors.Join(os.Chown(s.login.Path(), bob, bob), os.Chmod(s.login.Dir, 0o777|os.ModeSticky))
	}), as: bob, code: 7, says: "belongs to", mended: 0},
}
