package model

import (
	"fmt"

	"github.com/evercred/evercred/internal/decide"
)

// The promises of DESIGN §3, as far as a model can hold them.

// sending: a refresh token that was answered is never sent again, no two
// clients of ours send at once, and there are no more requests than expiries
// and faults.
func (m *machine) sending(ref uint8) {
	w := &m.w
	if w.oracle.answered&(1<<ref) != 0 {
		m.broken(refresh[ref] + " is sent though its answer was durable")
	}
	for i := range m.of.clients {
		if c := m.pool.clients.get(w.clients[i]); i != m.i && (c.phase == asked || c.phase == replied) {
			m.broken("two clients send at once")
		}
	}
	if n := m.of.allowed(w); w.oracle.sends > n {
		m.broken(fmt.Sprintf("%d requests where %d are explained by expiries and faults", w.oracle.sends, n))
	}
	if n := m.of.calm; n > 0 && w.oracle.calm > n {
		m.broken(fmt.Sprintf("a storm: %d requests while no time passes, and not %d", w.oracle.calm, n))
	}
}

// allowed is how many requests of ours a history explains: one for each ended
// or refused token, and one for each request or answer that got lost.
func (c *Case) allowed(w *world) uint8 {
	if c.endpoint != well {
		return 255
	}
	l, b := &w.left, &c.budget
	n := b.expiries - l.expiries + b.rejects - l.rejects + b.forces - l.forces + b.logins - l.logins +
		b.kills - l.kills + b.losses - l.losses
	if c.begins != ageFresh {
		n += 1 + b.backups - l.backups
	}
	return n
}

// durable: an answer is in its attempt, or in the store.
func (m *machine) durable(a answer) {
	w := &m.w
	if decide.Verdict(a.verdict) != decide.Granted {
		return
	}
	if a.ref != 0 { // it rotated
		w.oracle.answered |= 1 << m.c.sent.ref
	}
	if w.doc.login == m.c.sent.login {
		w.oracle.newest = a.acc
	}
}

// escrowed reports whether an open attempt holds an access token.
func (w *world) escrowed(acc uint8) bool {
	for _, r := range w.records() {
		if r.answer.acc == acc {
			return true
		}
	}
	return false
}

// invariant: the newest successor that was ever durable is in the store or in
// the escrow, whoever dies; or the store holds another one, which the owner's
// program was granted and which is as good.
func (m *machine) invariant() {
	w := &m.w
	if w.oracle.alien != 0 && decide.Presence(w.doc.kind) == decide.Present && w.ep[w.doc.ref].spent == 0 {
		return
	}
	if n := w.oracle.newest; n != 0 && w.doc.acc != n && !w.escrowed(n) && w.dead&(1<<w.login) == 0 {
		m.broken(fmt.Sprintf("%s and r%d are lost: neither the store nor the escrow has them", access[n], n))
	}
}

// revoked: a login dies only in the excusable window. alien requests excuse
// what comes of them; a request that nobody waited for excuses a strict
// endpoint; otherwise an answer must have been lost, and no window open.
func (m *machine) revoked(ref uint8, from sender) {
	o := &m.w.oracle
	switch over := m.of.profile == strict || m.w.ep[ref].spent == afterWindow; {
	case o.alien&(1<<ref) != 0:
	case from == ofNobody && over:
	case from == ofClient && over && o.unheard&(1<<ref) != 0:
	default:
		m.broken("the login is lost by a reuse of " + refresh[ref] + ", and nothing excuses it")
	}
}

// saved: a save writes the next token of the same login over an older one or
// over a blank.
func (m *machine) saved(old, next view) {
	switch {
	case decide.Presence(old.kind) == decide.Absent:
		m.broken("a login is revived that its user ended")
	case old.login != next.login:
		m.broken("a login is written over by a token of another")
	case old.acc > next.acc:
		m.broken(fmt.Sprintf("the older a%d is saved over a%d", next.acc, old.acc))
	}
	if !durableFirst {
		m.durable(answer{verdict: uint8(decide.Granted), acc: next.acc, ref: next.ref})
	}
}

// served: who is served a token without a word of warning holds a good one, and
// none that is older than what was stored when it asked.
func (m *machine) served(acc uint8) {
	c, w := &m.c, &m.w
	if c.act.Cause != decide.None || c.state.SaveOnly {
		return
	}
	switch {
	case acc == 0:
		m.broken("nothing is served")
	case c.state.Replace != "" && access[acc] == c.state.Replace:
		m.broken("the refused " + access[acc] + " is served")
	case acc < c.floor && w.left.backups == m.of.budget.backups && w.left.thefts == m.of.budget.thefts && w.left.aliens == m.of.budget.aliens:
		m.broken(fmt.Sprintf("%s is served where %s was stored before", access[acc], access[c.floor]))
	}
}

// failed: an error says what is so.
func (m *machine) failed(cause decide.Cause) {
	w := &m.w
	switch cause {
	case decide.Bug:
		m.broken("no rule for what was seen")
	case decide.OlderCopy:
		if m.of.budget.backups == 0 && m.of.budget.aliens+m.of.budget.thefts == 0 {
			m.broken("an older copy is spoken of, and there was none")
		}
	case decide.WasRefused, decide.LostAnswer:
		if w.dead&(1<<m.c.seen.login) == 0 {
			m.broken("a login is called dead that lives")
		}
	}
}

// describe is a document for people.
func (w *world) describe(v view) string {
	switch decide.Presence(v.kind) {
	case decide.Absent:
		return "no login"
	case decide.Blanked:
		return "blanked"
	}
	return fmt.Sprintf("a%d/r%d, %s", v.acc, v.ref, [...]string{"fresh", "near its end", "ended"}[w.age[v.acc]])
}

var lessons = [...]string{
	decide.LearnNothing: "nothing", decide.LearnUnreachable: "unreachable", decide.LearnForeign: "not the endpoint",
	decide.LearnUnknown: "a cooldown", decide.LearnUnanswered: "a request without answer", decide.LearnLimited: "the endpoint asks for a pause",
	decide.LearnDead: "the token is dead", decide.LearnGranted: "a grant", decide.LearnSpent: "the token has rotated",
	decide.LearnRefusedSuccessor: "the API refuses fresh tokens",
}
