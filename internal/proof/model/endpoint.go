package model

import (
	"fmt"

	"github.com/evercred/evercred/internal/decide"
)

// profile is what becomes of a refresh token that was used, as internal/issuer
// rules. A window ends while a long time passes.
type profile uint8

const (
	strict profile = iota
	idempotent
	sibling
	noRotation
)

var profiles = [...]string{strict: "strict", idempotent: "idempotent", sibling: "sibling", noRotation: "no-rotation"}

// weather is how the endpoint is, all the time.
type weather uint8

const (
	well weather = iota
	down         // 503 to everything
	limiting
	foreign // a page that is not the endpoint's
	unreachable
)

// sender is whose request it is.
type sender uint8

const (
	ofClient sender = iota
	ofNobody        // of a client that has gone, or did not wait
	ofAlien
)

// rule is the endpoint's answer to a request with a refresh token.
func (m *machine) rule(ref uint8, from sender) answer {
	w := &m.w
	switch e := &w.ep[ref]; {
	case w.dead&(1<<e.login) != 0:
		m.say("the endpoint refuses " + refresh[ref])
	case m.of.profile == noRotation:
		a := w.issue(e.login, ref)
		m.say("the endpoint issues " + access[a.acc])
		return a
	case e.spent == 0:
		e.next, e.spent = w.issue(e.login, 0), inWindow
		m.say(fmt.Sprintf("the endpoint commits r%d for %s", e.next.ref, refresh[ref]))
		return e.next
	case m.of.profile == idempotent && e.spent == inWindow && w.ep[e.next.ref].spent == 0:
		m.say(fmt.Sprintf("the endpoint answers r%d again", e.next.ref))
		return e.next
	case m.of.profile == sibling && e.spent == inWindow:
		a := w.issue(e.login, 0)
		m.say(fmt.Sprintf("the endpoint commits r%d beside r%d", a.ref, e.next.ref))
		return a
	default:
		w.dead |= 1 << e.login
		m.say("reuse of " + refresh[ref] + ": the login is dead")
		m.revoked(ref, from)
	}
	return answer{some: true, verdict: uint8(decide.Refused)}
}

// askedSteps is what may become of a request under way.
func (m *machine) askedSteps(i int) {
	c := m.pool.clients.get(m.from.clients[i])
	answers := func(text string, v decide.Verdict) {
		m.begin(i, text)
		m.c.reply, m.c.phase = reply{answer: answer{some: true, verdict: uint8(v)}, last: 1}, replied
		m.done()
	}
	switch m.of.endpoint {
	case down:
		answers("'s request meets a 503", decide.Unknown)
		return
	case limiting:
		answers("'s request meets a 429", decide.Limited)
		return
	case foreign:
		answers("'s request meets a captive portal", decide.Foreign)
		return
	}
	m.begin(i, "'s request arrives")
	m.c.reply, m.c.phase = reply{answer: m.rule(c.sent.ref, ofClient), last: 1}, replied
	m.done()
	if m.from.left.losses > 0 {
		m.begin(i, "waits no longer; its request is still under way")
		m.w.left.losses--
		m.w.late[c.sent.ref]++
		m.hear(answer{verdict: uint8(decide.Unknown)}, 0)
		m.done()
		answers("'s request meets a 503", decide.Unknown)
		m.out[len(m.out)-1].w.left.losses--
	}
}

// repliedSteps is what may become of an answer under way.
func (m *machine) repliedSteps(i int) {
	c := m.pool.clients.get(m.from.clients[i])
	m.begin(i, "has the answer, durable")
	m.hear(c.reply.answer, c.reply.last)
	m.done()
	if m.from.left.losses == 0 {
		return
	}
	lose := func(text string, a answer, last uint8) {
		m.begin(i, text)
		m.w.left.losses--
		m.unheard(c)
		m.hear(a, last)
		m.done()
	}
	lose("does not get the answer", answer{verdict: uint8(decide.Unknown)}, 0)
	lose("gets a part of the answer", answer{some: true, verdict: uint8(decide.Unknown)}, 0)
	lose("gets a 503 after the commit", answer{some: true, verdict: uint8(decide.Unknown)}, 1)
	if decide.Verdict(c.reply.verdict) == decide.Granted && c.reply.ref != 0 {
		lose("gets an answer that names a successor and no access token", answer{some: true, verdict: uint8(decide.Committed)}, 1)
	}
}

// hear makes an answer durable, and the client understands it. That is one step:
// a client killed in between leaves what one leaves that is killed before it
// does anything about it.
func (m *machine) hear(a answer, last uint8) {
	c, w := &m.c, &m.w
	if durableFirst && c.rec >= 0 && a.some {
		w.recs[c.rec].answer = a
	}
	if durableFirst {
		m.durable(a)
	}
	c.outcome, c.login = m.parse(a, c.sent), c.sent.login
	c.failed = decide.Verdict(a.verdict) == decide.Foreign
	m.say("understands it")
	m.tell(decide.Event{Kind: decide.Answered, Verdict: decide.Verdict(a.verdict), Rotated: a.some && c.outcome.ref != c.sent.ref, Replied: last == 1})
}

// lateSteps are the requests that arrive after their senders have gone.
func (m *machine) lateSteps() {
	for ref := range uint8(maxTokens) {
		if m.from.late[ref] == 0 {
			continue
		}
		m.begins("a request that nobody waits for arrives")
		m.w.late[ref]--
		spent := m.w.ep[ref].spent
		if a := m.rule(ref, ofNobody); decide.Verdict(a.verdict) == decide.Granted && spent == 0 {
			m.w.oracle.unheard |= 1 << ref
		}
		m.done()
	}
}
