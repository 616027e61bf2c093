package peers

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/suite"
)

// The moments of a refresh.
const (
	before  = "before the request" // at random since the start
	delayed = "while the answer is delayed"
	written = "just after the answer was written"
)

var moments = []string{before, delayed, written}

var signals = []struct {
	name string
	sig  syscall.Signal
}{{"SIGKILL", syscall.SIGKILL}, {"SIGTERM", syscall.SIGTERM}}

// answerTime is how long the endpoint takes; after is by when a client has done
// something with an answer on loopback.
const (
	answerTime = 100 * time.Millisecond
	after      = 2 * time.Millisecond
)

// victim is one kill.
type victim struct {
	name    string
	profile issuer.Profile
	sig     syscall.Signal
	moment  string
	lead    time.Duration
}

// ending is what came of a kill. missed: the request had left before a kill that
// was to come before it.
type ending struct{ late, lost, missed bool }

// kill lets one client begin, kills it, lets the next one come, and looks.
func (n *loopback) kill(r *suite.Run, p *peer, v victim) (ending, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	reached := map[issuer.Stage]chan struct{}{issuer.Committed: make(chan struct{}), issuer.Ended: make(chan struct{})}
	l, err := n.lay(r, p, behaviour(v.profile), func(at issuer.Stage, rec issuer.Record) {
		if c := reached[at]; c != nil && rec.N == 1 {
			close(c)
		}
	})
	if err != nil {
		return ending{}, err
	}
	defer l.close()
	release := func() {}
	if v.moment == delayed {
		var f issuer.Fault
		f, release = issuer.Hang(issuer.Committed)
		l.endpoint.Script(1, f)
	}
	g, err := n.gather(r, p, l, 1)
	if err != nil {
		return ending{}, err
	}
	chance := r.Rand(v.name)
	within := func(d time.Duration) { pause(ctx, time.Duration(chance.Int64N(int64(d)+1))) }
	over := make(chan struct{})
	go func() {
		defer close(over)
		g.race(ctx)
	}()
	switch v.moment {
	case before:
		within(v.lead)
	case delayed:
		first(reached[issuer.Committed], over)
		within(answerTime)
	case written:
		first(reached[issuer.Ended], over)
		within(after)
	}
	late := g.clients[0].Process.Signal(v.sig) != nil
	if v.moment == delayed {
		within(answerTime)
		release()
	}
	<-over
	if v.moment == before && l.endpoint.Requests() > 0 {
		return ending{missed: true}, nil
	}
	granted, err := settled(ctx, l.endpoint)
	if err != nil {
		return ending{}, err
	}
	words, err := n.next(r, p, l)
	if err != nil {
		return ending{}, err
	}
	s := l.state()
	if p.ours {
		what := fmt.Sprintf("%v %s", nameOf(v.sig), v.moment)
		switch {
		case !s.lost && s.changed == 0:
			r.Saw(what, "nothing lost")
		case s.lost && granted && v.sig == syscall.SIGKILL && v.profile == issuer.Strict():
			r.Saw(what, "lost: the answer was not saved yet, and the endpoint does not repeat it")
		default:
			r.Violation(v.name, "lost: %t, %s; %d bytes of neighbours changed; %s; %s", s.lost, s.note, s.changed, g.messages(), words)
		}
	}
	return ending{late: late, lost: s.lost}, nil
}

// settled waits until the endpoint is done with what came, and reports whether
// it has granted anything.
func settled(ctx context.Context, s *issuer.Server) (granted bool, err error) {
	err = s.Await(ctx, func(log []issuer.Record) bool {
		granted = false
		for _, rec := range log {
			if rec.Ended.IsZero() {
				return false
			}
			granted = granted || rec.Granted()
		}
		return true
	})
	return granted, err
}

// next lets the next process come, which may mend what the killed one left. If
// it gets no token because of a lock, another comes when that is old.
func (n *loopback) next(r *suite.Run, p *peer, l *login) (words string, err error) {
	for range 2 {
		g, err := n.gather(r, p, l, 1)
		if err != nil {
			return "", err
		}
		failed := g.race(r.Context())
		words += g.messages()
		if failed == 0 || !aged(filepath.Dir(l.dir)) {
			break
		}
	}
	return words, nil
}

// aged makes the locks that are directories ten minutes old, and reports
// whether there are any.
func aged(home string) (found bool) {
	old := time.Now().Add(-10 * time.Minute)
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasSuffix(path, ".lock") {
			found = os.Chtimes(path, old, old) == nil || found
		}
		return nil
	})
	return found
}

func nameOf(s syscall.Signal) string {
	for _, known := range signals {
		if known.sig == s {
			return known.name
		}
	}
	return s.String()
}

// pause is part of the fault: a kill comes at any moment.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func first(a, b <-chan struct{}) {
	select {
	case <-a:
	case <-b:
	}
}
