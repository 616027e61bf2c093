package dirlock

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/evercred/evercred/internal/ledger"
)

// acquisition is one call of Acquire or Try.
type acquisition struct {
	line   *line
	places []*place
}

func (n *line) acquire(ctx context.Context, specs []Spec, wait bool) (*Set, error) {
	n.sweep()
	a := n.begin(specs)
	defer a.remember()
	for first := true; ; first = false {
		set, err := a.round(ctx)
		switch {
		case err == nil:
			return set, nil
		case !errors.Is(err, errBusy):
			return nil, err
		case !wait:
			return nil, a.held(nil)
		}
		if first {
			a.remember() // whoever kills us, the next process starts from this look
		}
		if !pause(ctx, n.Jitter(n.Times.TryMin, n.Times.TryMax)) {
			return nil, a.held(context.Cause(ctx))
		}
	}
}

func (n *line) begin(specs []Spec) *acquisition {
	a := &acquisition{line: n}
	sights := n.book.Sights()
	for _, s := range specs {
		if s.Stale == 0 {
			s.Stale = n.Times.StaleAge
		}
		p := &place{Spec: s, line: n, watch: watch{clock: n.Clock, bootID: n.book.BootID(), slack: n.Times.Watch / 12}}
		if i := slices.IndexFunc(sights, func(g ledger.Sight) bool { return g.Path == s.Path }); i >= 0 {
			p.watch.recall(sights[i])
		}
		a.places = append(a.places, p)
	}
	return a
}

// round tries once: all free, all taken, all still ours after the settling.
func (a *acquisition) round(ctx context.Context) (*Set, error) {
	if err := a.survey(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errBusy
	}
	set := &Set{line: a.line}
	for _, p := range a.places {
		if err := set.add(p); err != nil {
			set.drop()
			return nil, err
		}
	}
	if !pause(ctx, set.settling(a.places)) || set.look() != nil {
		set.drop()
		return nil, errBusy
	}
	set.start()
	return set, nil
}

// survey looks at every lock before the first is taken: the watching of all
// begins with the first look, and the first does not flap while the second is
// busy (INTEROP §3.2).
func (a *acquisition) survey() error {
	var busy error
	for _, p := range a.places {
		switch _, err := p.look(); {
		case errors.Is(err, errBusy):
			busy = err
		case err != nil && !p.without(err):
			return err
		}
	}
	return busy
}

// without reports whether we go on without this lock.
func (p *place) without(err error) bool {
	var e *ImpossibleError
	return p.Optional && errors.As(err, &e) && e.place
}

func (a *acquisition) held(cause error) error {
	e := &HeldError{Err: cause}
	for _, p := range a.places {
		if p.last.Ino != 0 {
			e.Holders = append(e.Holders, p.holder())
		}
	}
	return e
}

// remember leaves what we saw to the next process. That it cannot be written
// costs that process time and nothing else.
func (a *acquisition) remember() {
	if a.line.book.BootID() == "" {
		return
	}
	old := a.line.book.Sights()
	sights := slices.DeleteFunc(slices.Clone(old), func(s ledger.Sight) bool {
		return slices.ContainsFunc(a.places, func(p *place) bool { return p.Path == s.Path })
	})
	for _, p := range a.places {
		if p.watch.sight.Ino != 0 {
			sights = append(sights, p.watch.sight)
		}
	}
	if !slices.EqualFunc(old, sights, sameSight) {
		_ = a.line.book.SetSights(sights)
	}
}

func sameSight(a, b ledger.Sight) bool {
	return a.Path == b.Path && a.Ino == b.Ino && a.Time.Equal(b.Time) && a.BootID == b.BootID && a.Boot == b.Boot
}

// pause waits, and reports false as soon as ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
