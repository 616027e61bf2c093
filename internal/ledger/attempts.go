package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
)

func (l *Ledger) openPath(id string) string   { return l.file(attemptPrefix + id + openSuffix) }
func (l *Ledger) closedPath(id string) string { return l.file(attemptPrefix + id + closedSuffix) }

// load reads an open attempt, to look at. It fails with errTorn for one that
// was never begun, and with a NewerError; a corrupt one is marked as such.
func (l *Ledger) load(id string) (*Attempt, error) {
	a := &Attempt{intent: Intent{ID: id}, tape: lookOnly{}, off: headerSize}
	path := l.openPath(id)
	b, err := l.read(path, maxAttempt)
	if err != nil {
		// Whatever was planted here holds no answer and must not be in the way.
		if i, lerr := l.s.FS.Lstat(path); lerr == nil && !i.Mode.IsRegular() {
			a.corrupt = true
			return a, nil
		}
		return nil, err
	}
	intent, err := parseHeader(path, b)
	switch {
	case errors.Is(err, errCorrupt), err == nil && intent.ID != id:
		a.corrupt = true
	case err != nil:
		return nil, err
	default:
		a.intent = intent
	}
	sends, good, err := parseFrames(b[headerSize:], l.opener(id))
	if err != nil {
		return nil, err
	}
	a.sends = sends
	a.off += int64(good)
	return a, nil
}

// readClosed reads what remains of an attempt; false: it cannot be understood.
func (l *Ledger) readClosed(id string) (c Closed, ok bool, err error) {
	path := l.closedPath(id)
	b, err := l.read(path, maxRecord)
	if err == nil {
		ok, err = decode(path, b, &c)
	}
	return c, ok, err
}

// Attempts are the open attempts, oldest first. Those of them that a killed
// process had closed or never quite begun are cleaned away, and so are closed
// ones that are older than Times.History.
func (g *Guard) Attempts() ([]Record, error) {
	g.filing.Lock()
	defer g.filing.Unlock()
	if err := g.Check(); err != nil {
		return nil, err
	}
	ids, err := g.list()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, id := range ids.open {
		a, err := g.reopen(id, ids.closed[id])
		if err != nil {
			return nil, err
		}
		if a != nil {
			records = append(records, a)
		}
	}
	g.forget(ids.history) // last: what is half closed is known by it
	return records, nil
}

// reopen is load for whoever may write; nil: there was only something to clean.
func (g *Guard) reopen(id string, closed bool) (*Attempt, error) {
	if closed {
		_, ok, err := g.readClosed(id)
		if err != nil {
			return nil, err
		}
		if ok {
			return nil, g.discard(id)
		}
	}
	if a := g.known(id); a != nil {
		return a, nil
	}
	a, err := g.load(id)
	if errors.Is(err, errTorn) {
		return nil, g.discard(id)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // closed a moment ago
	}
	if err != nil {
		return nil, err
	}
	a.tape = &reel{g: g, id: id}
	if g.key != nil {
		a.seal = func(off int64, p []byte) ([]byte, error) {
			b, err := g.box(id)
			if err != nil {
				return nil, err
			}
			return b.seal(off, p)
		}
	}
	return g.know(a), nil
}

// forget removes closed attempts past their time, by the time in their names.
// What cannot be removed is tried again by the next flight.
func (g *Guard) forget(ids []string) {
	cutoff := idTime(g.s.Clock.Now().Add(-g.s.Times.History))
	for _, id := range ids {
		if id < cutoff {
			g.s.FS.Remove(g.closedPath(id))
		}
	}
}

// Begin makes an attempt durable: its intent, its name, and room for its answer.
func (g *Guard) Begin(in Intent) (Record, error) {
	g.filing.Lock()
	defer g.filing.Unlock()
	if err := g.Check(); err != nil {
		return nil, err
	}
	in, err := complete(in, g.s)
	if err != nil {
		return nil, err
	}
	head, err := header(in)
	if err != nil {
		return nil, err
	}
	a := &Attempt{intent: in, ours: true, off: headerSize}
	if g.key != nil { // without it nothing may be spent
		b, err := g.box(in.ID)
		if err != nil {
			return nil, err
		}
		a.seal = b.seal
	}
	f, err := g.create(g.openPath(in.ID))
	if err != nil {
		return nil, err
	}
	if err := g.prepare(f, head); err != nil {
		f.Close()
		g.s.FS.Remove(f.Name())
		return nil, err
	}
	g.keep(f)
	a.tape = &reel{g: g, id: in.ID, f: f}
	return g.know(a), nil
}

func (g *Guard) prepare(f fsys.File, head []byte) error {
	err := f.Preallocate(reserve)
	if err != nil && !errors.Is(err, fsys.ErrUnsupported) {
		return err
	}
	body := head
	if err != nil { // then zeros take the room; frames are written over them
		body = append(body, make([]byte, reserve-len(head))...)
	}
	if err := writeAt(f, body, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return g.syncDir(g.path)
}

// reel is the tape of an attempt in the folder.
type reel struct {
	g  *Guard
	id string
	f  fsys.File // nil: not yet opened
}

func (r *reel) write(b []byte, off int64) error {
	if err := r.g.alive(); err != nil {
		return err
	}
	if r.f == nil {
		f, err := r.g.s.FS.OpenFile(r.g.openPath(r.id), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		r.f = f
		r.g.keep(f)
	}
	return writeAt(r.f, b, off)
}

// writeAt writes all of b or fails: what a full disk cut short is torn.
func writeAt(f fsys.File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = fmt.Errorf("write %s: %w", f.Name(), io.ErrShortWrite)
	}
	return err
}

func (r *reel) sync() error {
	if r.f == nil {
		return r.g.alive()
	}
	return r.f.Datasync()
}

// conclude writes what remains before the rest goes: at every moment one of the
// two stands on disk.
func (r *reel) conclude(c Closed) error {
	if err := r.g.Check(); err != nil {
		return err
	}
	b, err := encode(c)
	if err != nil {
		return err
	}
	if err := r.g.put(r.g.closedPath(r.id), b); err != nil {
		return err
	}
	if err := r.g.syncDir(r.g.path); err != nil {
		return err
	}
	if err := r.g.discard(r.id); err != nil {
		return err
	}
	// A power cut must not bring the secret back. Where this fails, the attempt is
	// closed all the same, and the next holder of the guard cleans up after it.
	_ = r.g.syncDir(r.g.path)
	return nil
}

// discard unlinks an open attempt, unless it is gone.
func (g *Guard) discard(id string) error {
	err := g.s.FS.Remove(g.openPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// maxHost keeps the header within its size; DNS allows 253.
const maxHost = 253

// complete fills what the ledger knows better than its caller.
func complete(in Intent, s seam.Seams) (Intent, error) {
	var b [4]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return in, fmt.Errorf("random: %w", err)
	}
	in.Version = FormatVersion
	in.At = s.Clock.Now()
	in.ID = idTime(in.At) + "-" + hex.EncodeToString(b[:])
	in.Holder = s.Procs.Self()
	if in.Host == "" {
		in.Host, _ = os.Hostname() // for people
	}
	in.Host = in.Host[:min(len(in.Host), maxHost)]
	return in, nil
}

// idTime begins an attempt's name, so that names sort by time.
func idTime(t time.Time) string { return t.UTC().Format("20060102T150405.000000000Z") }
