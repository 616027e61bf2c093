package model

import (
	"fmt"

	"github.com/evercred/evercred/internal/decide"
)

// recovers lets every fault end, a new client come, and time pass as often as it
// is asked to wait: it must be served the newest token, or be told a reason
// that is so. It returns what came of it, and what was wrong.
func (m *machine) recovers(w world) (outcome, bad string) {
	fresh := m.pool.client(newClient())
	for i := range w.clients {
		w.clients[i] = fresh
	}
	w.left = budget{}
	w.late = [maxTokens]uint8{}
	w.oracle.sends, w.oracle.calm = 0, 0
	calm := *m.of
	calm.clients, calm.endpoint, calm.calm = 1, well, 0
	calm.forces += 100 // whatever it sends is explained
	mm := &machine{of: &calm, pool: m.pool}
	var last ending
	for range 20 {
		w.left.starts = 1
		last = ending{}
		for n := 0; !last.some; n++ {
			all := mm.steps(&w)
			if n > 300 || len(all) == 0 {
				return "", "a client alone does not come to an end"
			}
			s := all[0]
			if s.bad != "" {
				return "", s.bad
			}
			w, last = s.w, s.end
		}
		for n := 0; mm.pool.clients.get(w.clients[0]).phase != idle; n++ { // it forgets a login
			if n > 50 {
				return "", "a client alone does not come to an end"
			}
			w = mm.steps(&w)[0].w
		}
		switch {
		case last.do == decide.Serve && last.cause == decide.None:
			return mm.good(&w, last)
		case last.do == decide.Fail && !waits(last.cause):
			return mm.justified(&w, last.cause)
		}
		mm.w = w
		mm.pass(aLongTime)
		mm.w.age[w.doc.acc] = ageEnded // and the valid token has ended
		w = mm.w
	}
	return "", "a new client is put off for ever (" + string(last.cause) + ")"
}

// waits: the error names a time.
func waits(c decide.Cause) bool {
	switch c {
	case decide.Cooldown, decide.Spacing, decide.UnknownOutcome, decide.APIRefuses, decide.RateLimited, decide.NotEndpoint, decide.Unreachable, decide.TimedOut, decide.Locked:
		return true
	}
	return false
}

func (m *machine) good(w *world, e ending) (outcome, bad string) {
	d := w.doc
	switch {
	case w.age[d.acc] == ageEnded:
		return "", "an ended token is served"
	case e.seen.acc != d.acc:
		return "", "what is served is not what is stored"
	case w.dead&(1<<d.login) != 0:
		return "login lost, not yet noticed", ""
	case w.ep[d.ref].spent != 0 && m.of.profile != noRotation:
		return "a successor lost, not yet noticed", m.unexcused(w, d.ref)
	}
	return "recovered", ""
}

// unexcused: the store holds a spent token, because an answer was lost.
func (m *machine) unexcused(w *world, ref uint8) string {
	if w.oracle.unheard&(1<<ref) == 0 && w.oracle.alien == 0 {
		return fmt.Sprintf("%s is stored and spent, and nothing excuses it", refresh[ref])
	}
	return ""
}

func (m *machine) justified(w *world, c decide.Cause) (outcome, bad string) {
	d := w.doc
	switch c {
	case decide.NotFound:
		return "logged out, and left so", ""
	case decide.WasBlanked:
		return "blanked by its owner", ""
	case decide.WasRefused, decide.LostAnswer:
		if w.dead&(1<<d.login) == 0 {
			return "", "a login is called dead that lives"
		}
		if c == decide.LostAnswer {
			return "login lost, and said to be", ""
		}
		return "login dead, and said to be", ""
	case decide.OlderCopy:
		if w.ep[d.ref].spent != 0 {
			return "an older copy came back, and said to be", ""
		}
	}
	return "", "a new client fails: " + string(c)
}
