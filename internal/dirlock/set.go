package dirlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Set is the locks that one Acquire took. They beat until Release. Its methods
// are safe for concurrent use.
type Set struct {
	// Missing are the optional locks that could not be made.
	Missing []Missing

	line    *line
	locks   []*lock
	adopted bool

	stop, done, gone chan struct{} // asked to end, ended, a lock was lost

	// On Clock.Boot, guarded by line.mu, as locks is once they beat.
	beaten  time.Duration // when the locks beat last
	settled time.Duration // no Check passes before: the beats had stood still
	over    bool          // released

	release  sync.Once
	released error
}

// add takes the lock of one place.
func (s *Set) add(p *place) error {
	l, err := p.take()
	switch {
	case err == nil:
		s.locks = append(s.locks, l)
		s.adopted = s.adopted || !l.found.IsZero()
	case p.without(err):
		s.Missing = append(s.Missing, Missing{Path: p.Path, Err: err})
	default:
		return err
	}
	return nil
}

// settling is how long somebody who saw the state before us may still act on it
// (INTEROP §3.4).
func (s *Set) settling(places []*place) time.Duration {
	brief := !slices.ContainsFunc(places, func(p *place) bool { return !p.Brief })
	switch {
	case s.adopted:
		return s.line.Times.SettleTakeover
	case brief:
		return 0
	}
	return s.line.Times.Settle
}

// look needs every lock to be ours.
func (s *Set) look() error {
	for _, l := range s.locks {
		if _, err := l.ours(); err != nil {
			return err
		}
	}
	return nil
}

// drop frees the locks in reverse order, as far as they are ours. The stamp of
// one that could not be freed stays in the line, so that the next process of
// ours knows it.
func (s *Set) drop() error {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	var errs []error
	for _, l := range slices.Backward(s.locks) {
		err := l.remove()
		if err == nil || errors.Is(err, ErrLost) {
			s.line.strike(l)
		}
		errs = append(errs, err)
	}
	s.locks, s.over = nil, true
	_ = s.line.record() // an old line names inodes and birth times that are gone
	return errors.Join(errs...)
}

func (s *Set) start() {
	s.stop, s.done, s.gone = make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.beaten = s.line.Clock.Boot()
	go s.keep()
}

// keep beats until Release.
func (s *Set) keep() {
	defer close(s.done)
	beat := s.line.Times.Beat
	for {
		t := time.NewTimer(s.line.Jitter(beat-beat/5, beat+beat/5))
		select {
		case <-s.stop:
			t.Stop()
			return
		case <-t.C:
			s.beat()
		}
	}
}

// beat looks at the locks, writes their next times into the holder line, and
// only then sets them.
func (s *Set) beat() {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	var live []*lock
	for _, l := range s.locks {
		i, err := l.ours()
		if err != nil {
			s.note(l, err)
			continue
		}
		live = append(live, l)
		l.prev, l.time = i.ModTime, s.line.time(l.grain)
	}
	// A line that cannot be written (a full disk) must not let a living lock go
	// stale: we beat all the same. Should we die then, the stamp does not match
	// the line, and the age rule applies.
	_ = s.line.record()
	for _, l := range live {
		s.note(l, l.beat())
	}
	late := s.overdue() // also if we were stopped within this beat
	s.beaten = s.line.Clock.Boot()
	if late {
		s.settled = s.beaten + s.line.Times.Settle
	}
}

// revive beats if the beats have stood still, and returns how long the locks
// have to settle from now on.
func (s *Set) revive() time.Duration {
	s.line.mu.Lock()
	late := s.overdue()
	s.line.mu.Unlock()
	if late {
		s.beat()
	}
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return s.settled - s.line.Clock.Boot()
}

// overdue needs line.mu: four beats were missed. The oldest CLI calls a lock dead
// at ten seconds, which is more than six beats.
func (s *Set) overdue() bool {
	return s.line.Clock.Boot()-s.beaten > 4*s.line.Times.Beat
}

// note needs line.mu. Only a definite loss counts: a look that failed may
// succeed at the next beat.
func (s *Set) note(l *lock, err error) {
	if !errors.Is(err, ErrLost) {
		return
	}
	l.lost = true
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
}

// Lost is closed when a beat finds that a lock is not ours any more (L4).
func (s *Set) Lost() <-chan struct{} { return s.gone }

// Check looks at every lock now: nil, an error that matches ErrLost, or why the
// look failed. Where the beats had stood still (a process that was stopped) it
// beats and lets that settle first, for somebody may have begun to take the
// locks for dead.
func (s *Set) Check() error {
	pause(context.Background(), s.revive())
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if s.over {
		return fmt.Errorf("%w: it was released", ErrLost)
	}
	for _, l := range s.locks {
		if _, err := l.ours(); err != nil {
			s.note(l, err)
			return err
		}
	}
	return nil
}

// Release ends the beating and frees the locks in reverse order, but only what
// still bears our stamp; a lock that was lost or could not be freed is in the
// error. Further calls do nothing and return the same.
func (s *Set) Release() error {
	s.release.Do(func() {
		close(s.stop)
		<-s.done
		s.released = s.drop()
	})
	return s.released
}

// TakenOver are the locks that a dead process had left.
func (s *Set) TakenOver() []string {
	var paths []string
	for _, l := range s.locks {
		if !l.found.IsZero() {
			paths = append(paths, l.path)
		}
	}
	return paths
}
