package model

import "github.com/evercred/evercred/internal/decide"

// alien is the owner's own program. It takes the owner's lock and no guard,
// believes that a lock it holds is its own, and asks nobody before it writes
// (INTEROP §3).
type alien struct {
	phase uint8
	ref   uint8
	login uint8
	reply answer
}

const (
	alienIdle = iota
	alienLocked
	alienLooked
	alienAnswered
)

func (m *machine) alienSteps() {
	a := m.from.alien
	begin := func(text string) {
		m.begins("the owner's program " + text)
	}
	release := func() {
		if m.w.lock == lockAlien {
			m.w.lock = lockFree
		}
		m.w.alien = alien{}
	}
	switch a.phase {
	case alienIdle:
		if m.from.left.aliens > 0 && m.from.lock == lockFree {
			begin("takes its lock")
			m.w.left.aliens--
			m.w.alien.phase, m.w.lock = alienLocked, lockAlien
			m.done()
		}
		if m.from.left.thefts > 0 && (m.from.lock == lockOurs || m.from.lock == lockLeft) {
			begin("takes a lock for dead, and has it")
			m.w.left.thefts--
			m.w.alien.phase, m.w.lock = alienLocked, lockAlien
			for i, id := range m.w.clients[:m.of.clients] {
				if c := *m.pool.clients.get(id); c.own == ownHeld {
					c.own = ownStolen
					m.w.clients[i] = m.pool.client(c)
				}
			}
			m.done()
		}
	case alienLocked:
		begin("looks")
		d := m.w.doc
		if m.w.alien.phase = alienLooked; decide.Presence(d.kind) != decide.Present || m.w.age[d.acc] != ageEnded {
			m.say("and has nothing to do")
			release()
		} else {
			m.w.alien.ref, m.w.alien.login = d.ref, d.login
		}
		m.done()
	case alienLooked:
		begin("sends " + refresh[a.ref])
		m.w.oracle.alien |= 1 << a.ref
		m.w.alien.reply, m.w.alien.phase = m.rule(a.ref, ofAlien), alienAnswered
		m.done()
	case alienAnswered:
		if decide.Presence(m.from.doc.kind) == decide.Absent {
			begin("finds the login gone")
		} else if r := a.reply; decide.Verdict(r.verdict) == decide.Granted {
			begin("saves over whatever is there")
			if r.ref == 0 {
				r.ref = a.ref
			}
			m.w.doc = view{kind: uint8(decide.Present), acc: r.acc, ref: r.ref, login: a.login}
			m.w.oracle.newest = 0
			m.say(m.w.describe(m.w.doc))
		} else {
			begin("blanks the login")
			m.w.doc = view{kind: uint8(decide.Blanked), login: m.w.doc.login}
		}
		release()
		m.done()
	}
}

// userSteps are what the user does, and a backup.
func (m *machine) userSteps() {
	left := &m.from.left
	if left.logouts > 0 && decide.Presence(m.from.doc.kind) != decide.Absent {
		m.begins("the user logs out")
		m.w.left.logouts--
		m.w.doc = view{}
		m.w.oracle.newest = 0
		m.done()
	}
	if left.logins > 0 {
		m.begins("the user logs in")
		m.w.left.logins--
		m.w.login++
		a := m.w.issue(m.w.login, 0)
		m.w.doc = view{kind: uint8(decide.Present), acc: a.acc, ref: a.ref, login: m.w.login}
		m.w.age[a.acc] = m.of.begins
		m.w.oracle.newest = 0
		m.say(m.w.describe(m.w.doc))
		m.done()
	}
	if left.backups > 0 && decide.Presence(m.from.doc.kind) == decide.Present && m.from.doc.login == 1 && m.from.doc.acc != 1 {
		m.begins("a backup brings the first document back")
		m.w.left.backups--
		if m.w.doc.acc == m.w.oracle.newest {
			m.w.oracle.newest = 0 // it is the backup that lost it
		}
		m.w.doc = view{kind: uint8(decide.Present), acc: 1, ref: 1, login: 1}
		m.done()
	}
}

// timeSteps are what time does. A token ends while nobody holds the guard: its
// holder looked before, and a waiter that saw it ended does as if it had not
// looked. Long times pass while no client of ours is on its way: a flight has 30
// seconds, and so has its last request.
func (m *machine) timeSteps() {
	left := &m.from.left
	if left.expiries > 0 && !m.from.guarded && decide.Presence(m.from.doc.kind) == decide.Present && m.from.age[m.from.doc.acc] != ageEnded {
		m.begins("the stored access token ends")
		m.w.left.expiries--
		m.w.age[m.w.doc.acc] = ageEnded
		m.done()
	}
	for _, id := range m.from.clients[:m.of.clients] {
		if m.pool.clients.get(id).phase != idle {
			return
		}
	}
	if left.whiles > 0 {
		m.begins("40 seconds pass")
		m.w.left.whiles--
		m.pass(aWhile)
		m.done()
	}
	if left.longs > 0 {
		m.begins("two minutes pass, and what is under way arrives no more")
		m.w.left.longs--
		m.pass(aLongTime)
		m.done()
	}
}
