package evercred

import (
	"context"
	"time"
)

// Follow calls see with the Status of now, and again whenever the store was
// changed, by whomever, until see returns true: then it returns nil. It never
// refreshes and, like Status, writes nothing. An absent, blanked or unreadable
// login is followed like every other.
//
// The store is asked at most every Options.Probe, and ten times as often while
// the following is young, by a stat where it can tell by one. see is called on
// the caller's goroutine. An error means that ctx ended, or ErrClosed.
func (s *Source) Follow(ctx context.Context, see func(Status) (done bool)) error {
	began := s.seams.Clock.Boot()
	for {
		st, doc, err := s.status(ctx)
		if err != nil {
			return err
		}
		if see(st) {
			return nil
		}
		for moved := false; !moved; moved = s.moved(ctx, doc) {
			waited := s.seams.Clock.Boot() - began
			if !sleep(ctx, s.life, followPause(waited, s.opts.Probe)) {
				if err := ctx.Err(); err != nil {
					return err
				}
				return errClosed
			}
		}
	}
}

// followPause is a tenth of the time already waited, between a tenth of longest
// and longest: what has just begun to wait is answered at once.
func followPause(waited, longest time.Duration) time.Duration {
	return min(max(waited/10, longest/10), longest)
}

// moved reports whether the store may hold something else than last; where last
// is nothing, whether there is something.
func (s *Source) moved(ctx context.Context, last Document) bool {
	if last.IsZero() {
		_, err := s.store.Load(ctx)
		return err == nil
	}
	changed, err := s.changed(ctx, last)
	return changed || err != nil
}
