package sources

import (
	"context"

	"github.com/evercred/evercred"
)

// Lender is what every source can do. *evercred.Source is one. It is safe for
// concurrent use.
type Lender interface {
	evercred.Provider
	evercred.Rejecter
	// Refresh renews the token if it is due, or with force in any case, as far as
	// the source can.
	Refresh(ctx context.Context, force bool) (evercred.Refreshed, error)
	// Status says what is here, without a secret, a grant, a run of a helper or an
	// exchange.
	Status(ctx context.Context) (evercred.Status, error)
	// Follow is evercred.Source.Follow.
	Follow(ctx context.Context, see func(evercred.Status) (done bool)) error
	// Close is evercred.Source.Close, which also waits for the owner's command if
	// that is running. A source that keeps no store has nothing to close.
	Close() error
}

// given is a Lender of a provider that keeps no store: nothing is saved, nobody
// else writes.
type given struct {
	evercred.Provider
	status evercred.Status
	pinned bool // the token is never another
}

func (g given) Reject(t evercred.Token) {
	if r, ok := g.Provider.(evercred.Rejecter); ok {
		r.Reject(t)
	}
}

// Refresh with force asks the provider anew; a token of the environment stays
// what it is.
func (g given) Refresh(ctx context.Context, force bool) (evercred.Refreshed, error) {
	anew := force && !g.pinned
	if anew {
		// Whoever has no time gets what is at hand, and sets nothing going.
		hurried, cancel := context.WithCancel(ctx)
		cancel()
		if old, err := g.Token(hurried); err == nil {
			g.Reject(old)
		}
	}
	t, err := g.Token(ctx)
	return evercred.Refreshed{Token: t, Granted: err == nil && anew}, err
}

// Status tells what was known when the source was opened. A token that does not
// change is looked at; whatever would have to run or to be asked is not.
func (g given) Status(ctx context.Context) (evercred.Status, error) {
	st := g.status
	if !g.pinned {
		st.State, st.Renewable = evercred.StateOnDemand, st.Err == nil
		return st, ctx.Err()
	}
	t, err := g.Token(ctx)
	if err != nil {
		st.State, st.Err = evercred.StateUnreadable, err
		return st, ctx.Err()
	}
	st.State, st.Usable, st.Access, st.Expires = evercred.StateNoRenewal, true, t.Fingerprint(), t.Expires()
	return st, nil
}

// Follow waits for nothing: what is here does not change.
func (g given) Follow(ctx context.Context, see func(evercred.Status) (done bool)) error {
	st, err := g.Status(ctx)
	if err != nil || see(st) {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (g given) Close() error { return nil }

// barred is the provider of a source that could lend by a grant only, and may not.
type barred struct{ err error }

func (b barred) Token(context.Context) (evercred.Token, error) { return evercred.Token{}, b.err }
