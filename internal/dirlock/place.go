package dirlock

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/evercred/evercred/internal/fsys"
)

// place is where a lock is to be, during one acquisition.
type place struct {
	Spec
	line  *line
	watch watch
	last  fsys.Info // as seen last; Ino 0: free, or ours
	// denied is the inode of a dead lock that we are not permitted to take over.
	denied uint64
}

// look says what stands there: nothing (nil, nil), a dead lock that may be taken
// over (its Info), a lock of somebody (errBusy), or what is no lock (ErrImpossible).
func (p *place) look() (*fsys.Info, error) {
	i, err := p.line.FS.Lstat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.forget()
		return nil, nil
	case err != nil:
		return nil, &ImpossibleError{Path: p.Path, Err: err, place: notHere(err)}
	case !i.Mode.IsDir():
		return nil, &ImpossibleError{Path: p.Path, Why: "a " + string(thing(i)) + " stands in its place", place: true}
	}
	p.last = i
	if p.dead(i) && p.denied != i.Ino {
		return &i, nil
	}
	return nil, errBusy
}

// dead is the rule of INTEROP §3.3. What stood still for WatchBlind while we
// watched is dead whatever its time says; that is the only way where the time
// lies in the future or the file system's clock is not ours.
func (p *place) dead(i fsys.Info) bool {
	still, t := p.watch.see(p.Path, i), p.line.Times
	switch {
	case p.line.left(p.Path, i):
		return true
	case still >= t.WatchBlind:
		return true
	case still < t.Watch, p.line.Clock.Now().Sub(i.ModTime) <= p.Stale:
		return false
	}
	return !remote(p.line.FS, p.Path)
}

// take makes the lock or takes a dead one over.
func (p *place) take() (*lock, error) {
	seen, err := p.look()
	if err != nil {
		return nil, err
	}
	var l *lock
	if seen == nil {
		l, err = p.line.create(p.Path)
	} else {
		l, err = p.line.adopt(p.Path, *seen)
	}
	if errors.Is(err, errDenied) {
		p.denied = seen.Ino
		return nil, errBusy
	}
	if err != nil {
		return nil, err
	}
	p.forget()
	return l, nil
}

func (p *place) forget() {
	p.watch.forget()
	p.last = fsys.Info{}
}

func (p *place) holder() Holder {
	h := Holder{
		Report: report(p.line.FS, p.line.Clock, p.Path, p.last),
		Beats:  p.watch.beats,
		Denied: p.denied != 0 && p.denied == p.last.Ino,
	}
	if prev, _ := p.line.book.Previous(); stamped(prev, p.Path, p.last) {
		h.Ours, h.PID = true, prev.ID.PID
	}
	return h
}

// notHere are the errors of a place that will never hold a lock of ours: the
// ones at which the CLI, too, goes on without its second lock [seen].
func notHere(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOTDIR)
}
