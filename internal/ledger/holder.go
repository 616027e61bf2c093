package ledger

import (
	"errors"
	"io/fs"
	"os"

	"github.com/evercred/evercred/internal/fsys"
)

// Holder is who holds the guard now, for messages. It tries the lock on a
// descriptor of its own and creates nothing. held with a zero Holder: somebody
// who has not written a line yet.
func (l *Ledger) Holder() (h Holder, held bool, err error) {
	f, err := l.s.FS.OpenFile(l.file(guardName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, err
	}
	defer f.Close()
	if err := regular(f); err != nil {
		return Holder{}, false, err
	}
	err = lock(f)
	if !errors.Is(err, fsys.ErrWouldBlock) {
		return Holder{}, false, err
	}
	h, err = l.readHolder()
	return h.known(), true, err
}

// held is the error for whoever did not get the guard.
func (l *Ledger) held(cause error) error {
	h, _ := l.readHolder() // for the message only
	h = h.known()
	return &HeldError{Holder: h, Since: h.Since, Err: cause}
}

// known is h, unless h gave the guard back: then whoever holds it has written
// no line yet.
func (h Holder) known() Holder {
	if h.Released {
		return Holder{}
	}
	return h
}

// leftover is the holder whose stamps may still stand on locks: h itself, or
// the one before if h died before it stamped anything.
func (h Holder) leftover() Holder {
	if len(h.Stamps) == 0 && h.Prior != nil {
		h = *h.Prior
	}
	h.Prior = nil
	return h
}

// readHolder returns the zero value where there is no line, or none that can be
// understood: it is not synced, so a power cut may tear it, and then it is void
// anyway, since the boot id is another.
func (l *Ledger) readHolder() (Holder, error) {
	path := l.file(holderName)
	b, err := l.read(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, nil
	}
	if err != nil {
		return Holder{}, err
	}
	var h Holder
	if ok, err := decode(path, b, &h); !ok || err != nil {
		return Holder{}, err
	}
	return h, nil
}

func (l *Ledger) newHolder() (Holder, error) {
	random, err := l.subMillisecond()
	return Holder{Version: FormatVersion, ID: l.s.Procs.Self(), Since: l.s.Clock.Now(), Random: random}, err
}

// putHolder replaces the line at once, without sync; see readHolder.
func (d *folder) putHolder(h Holder) error {
	b, err := encode(h)
	if err != nil {
		return err
	}
	return d.putOnce(d.file(holderName), b, func(fsys.File) error { return nil })
}

// leave marks the line as released, so that no message names us. Stamps that
// are still noted stay: a lock that we failed to remove is known by them.
func (g *Guard) leave() error {
	if err := g.check(); err != nil {
		return err
	}
	h := g.holder
	h.Released = true
	if g.stamped && len(h.Stamps) == 0 {
		h.Prior = nil // we held the locks and removed them: nothing of its is left
	}
	return g.putHolder(h)
}
