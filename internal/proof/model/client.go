package model

import "github.com/evercred/evercred/internal/decide"

// client is one process of ours: the flight of refresh.go, and what its Source
// keeps between flights.
type client struct {
	phase phase

	// The Source.
	cur      uint8 // access token served; only where a case asks for it
	rejected bool
	unsaved  successor

	// The flight, by its names in refresh.go.
	state      decide.State
	act        decide.Action
	guard      bool
	own        uint8 // of the owner's lock
	snap       uint32
	latest     view
	seen       view
	looking    decide.EventKind
	back       phase // where a look while waiting returns to
	gone       bool  // the lock could not be made beside a document that is gone
	rec        int8  // the attempt of the last send; -1: none
	sent       view
	print      uint8
	outcome    answer
	login      uint8 // of outcome
	failed     bool  // outcome.Err
	wasLost    int16 // seconds since; -1: nothing was
	lastLeft   int16 // the same, of the last request that nothing came back of
	recovering bool

	reply  reply
	floor  uint8 // the stored access token when the flight began
	rounds uint8 // looks under the lock
}

// successor is one that no store holds yet.
type successor struct {
	acc, ref, login uint8
	sent            uint8
}

// reply is what is on its way back.
type reply struct {
	answer
	last uint8 // what is to be told of it: the event's verdict
}

func newClient() client { return client{rec: -1, wasLost: -1, lastLeft: -1} }

// Ownership of the owner's lock, as it is and not as the client believes.
const (
	ownNone = iota
	ownHeld
	ownStolen
)

// phase is where a flight stands between two steps that others can see, or
// between which it may be killed.
type phase uint8

const (
	idle        phase = iota
	readStore         // a look without the lock reads the memory, the document, the ledger
	readRecords       //
	wantGuard         // 3
	wantOwner         //
	lookLocked        // 4, 5
	noting            // the lesson of the next action goes into the memory
	shutting          // its attempts are closed
	closing           // 5
	preparing         // 6
	checking          // 7: the locks
	comparing         // 7: the document; then the mark and the first byte
	asked             // 8: the request is under way
	replied           // 8: the answer is under way
	pausing           // 8a, 8b
	saving            // 9
	saveLooking       // 9, after a conflict
	clearing          // 10
	forgetting        // what is left of a login that its user ended
	forgetLooking
	forgetClosing
)

// machine makes the steps of one world. It works on a copy: m.w and, where a
// client moves, m.c, number m.i.
type machine struct {
	of      *Case
	pool    *pool
	verbose bool
	names   [maxClients]byte

	from *world
	w    world
	c    client
	i    int
	text string
	bad  string
	ends []ending // of flights in this step

	out []step
}

// step is one thing that may happen next.
type step struct {
	w    world
	text string
	bad  string
	end  ending
}

// ending is how a flight ended.
type ending struct {
	some  bool
	do    decide.Do
	cause decide.Cause
	seen  view
}

// begin starts a step of client i.
func (m *machine) begin(i int, text string) {
	m.w, m.c, m.i = *m.from, *m.pool.clients.get(m.from.clients[i]), i
	m.text, m.bad, m.ends = "", "", m.ends[:0]
	m.say(text)
}

// world starts a step of nobody.
func (m *machine) begins(text string) {
	m.w, m.i = *m.from, -1
	m.text, m.bad, m.ends = "", "", m.ends[:0]
	m.say(text)
}

func (m *machine) say(text string) {
	if !m.verbose || text == "" {
		return
	}
	switch {
	case m.text != "":
		m.text += "; "
	case m.i >= 0 && text[0] == '\'':
		m.text = string(m.names[m.i])
	case m.i >= 0:
		m.text = string(m.names[m.i]) + " "
	}
	m.text += text
}

// broken notes the first broken promise of a step.
func (m *machine) broken(what string) {
	if m.bad == "" {
		m.bad = what
	}
}

// done ends the step.
func (m *machine) done() {
	if m.i >= 0 {
		m.w.clients[m.i] = m.pool.client(m.c)
	}
	m.invariant()
	s := step{w: m.w, text: m.text, bad: m.bad}
	if len(m.ends) > 0 {
		s.end = m.ends[0]
	}
	m.out = append(m.out, s)
}

// steps lists all that may happen next.
func (m *machine) steps(w *world) []step {
	m.from, m.out = w, m.out[:0]
	for i := range m.of.clients {
		m.clientSteps(i)
	}
	m.alienSteps()
	m.lateSteps()
	m.userSteps()
	m.timeSteps()
	return m.out
}

// own steps of client i, and its death.
func (m *machine) clientSteps(i int) {
	c := m.pool.clients.get(m.from.clients[i])
	left := &m.from.left
	switch c.phase {
	case idle:
		m.takeoffs(i, c)
	case readStore:
		m.begin(i, "")
		m.readStore()
		m.done()
	case readRecords:
		m.begin(i, "")
		if !memoryFirst {
			m.c.snap = m.w.mem
		}
		m.say("looks for answers in the ledger")
		m.looked(m.c.looking)
		m.done()
	case wantGuard:
		m.wantGuard(i)
	case wantOwner:
		m.wantOwner(i)
	case lookLocked:
		m.begin(i, "looks again under the lock")
		m.lookAgain()
		m.done()
	case noting:
		m.begin(i, "notes in the shared memory: "+lessons[c.act.Lesson.Kind])
		m.remember()
		m.done()
	case shutting:
		m.begin(i, "closes an attempt: "+c.act.CloseAs)
		m.shut()
		m.done()
	case closing:
		m.begin(i, "closes an attempt left behind: "+c.act.CloseAs)
		if n := m.find(c.act.Attempt); n >= 0 {
			var heir uint8
			if c.act.Lesson.Kind == decide.LearnSpent && heirNoted {
				heir = c.outcome.ref
			}
			m.close(n, heir)
		}
		m.tell(decide.Event{Kind: decide.AttemptClosed})
		m.done()
	case preparing:
		m.begin(i, "")
		m.prepare()
		m.done()
	case checking:
		m.begin(i, "")
		m.check()
		m.done()
		if left.stops > 0 {
			m.begin(i, "is told to end before it sends")
			m.w.left.stops--
			m.tell(decide.Event{Kind: decide.Answered, Verdict: decide.Halted})
			m.done()
		}
	case comparing:
		m.begin(i, "")
		m.compare()
		m.done()
	case asked:
		m.askedSteps(i)
	case replied:
		m.repliedSteps(i)
	case pausing:
		m.begin(i, "has paused")
		m.tell(decide.Event{Kind: decide.Paused})
		m.done()
		m.begin(i, "has no time left for another pause")
		m.tell(decide.Event{Kind: decide.TimeUp})
		m.done()
	case saving:
		m.begin(i, "")
		m.save()
		m.done()
		if left.saveFails > 0 {
			m.begin(i, "cannot save: the disk is full")
			m.w.left.saveFails--
			m.tell(decide.Event{Kind: decide.SaveFailed})
			m.done()
		}
	case saveLooking:
		m.begin(i, "looks at what is stored instead")
		m.readLocked()
		m.looked(decide.SaveMoved)
		m.done()
	case clearing:
		m.begin(i, "")
		m.clear()
		m.done()
	case forgetting:
		if !m.from.guarded {
			m.begin(i, "takes the guard, to forget the login")
			m.c.guard, m.w.guarded, m.c.phase = true, true, forgetLooking
			m.done()
		} else {
			m.begin(i, "leaves what is left to the holder of the guard")
			m.reset()
			m.done()
		}
	case forgetLooking:
		m.begin(i, "looks whether the login is still gone")
		m.c.phase = forgetClosing
		if decide.Presence(m.w.doc.kind) != decide.Absent {
			m.unlock()
			m.reset()
		}
		m.done()
	case forgetClosing:
		m.begin(i, "closes an attempt: logged-out")
		if len(m.w.records()) > 0 {
			m.close(0, 0)
		}
		if len(m.w.records()) == 0 {
			m.unlock()
			m.reset()
		}
		m.done()
	}
	if left.kills > 0 {
		m.kill(i, c)
	}
}

// kill is SIGKILL. The death of a client that holds nothing and has nothing
// under way is seen by nobody: it is a client that does no more, and there are
// more of those than of starts.
func (m *machine) kill(i int, c *client) {
	if !c.guard && c.unsaved == (successor{}) {
		return
	}
	die := func(text string) {
		m.begin(i, text)
		m.w.left.kills--
		if m.c.own == ownHeld {
			m.w.lock = lockLeft
		}
		if m.c.guard {
			m.w.guarded = false
		}
	}
	rest := func() {
		m.c = newClient()
		m.done()
	}
	switch c.phase {
	case asked:
		die("is killed with its request under way")
		m.w.late[c.sent.ref]++
		rest()
	case replied:
		die("is killed before it has a byte of the answer")
		m.unheard(c)
		rest()
		die("is killed with a part of the answer kept")
		m.unheard(c)
		m.w.recs[c.rec].answer = answer{some: true, verdict: uint8(decide.Unknown)}
		rest()
	default:
		die("is killed")
		rest()
	}
}

// unheard notes that a commit was not heard of.
func (m *machine) unheard(c *client) {
	if decide.Verdict(c.reply.verdict) == decide.Granted {
		m.w.oracle.unheard |= 1 << c.sent.ref
	}
}

// reset ends the flight; the Source stays.
func (m *machine) reset() {
	c := newClient()
	c.cur, c.rejected, c.unsaved = m.c.cur, m.c.rejected, m.c.unsaved
	if m.of.rejects == 0 && c.unsaved == (successor{}) {
		c.cur, c.rejected = 0, false // nobody asks
	}
	m.c = c
}

// takeoffs are the ways to begin a flight.
func (m *machine) takeoffs(i int, c *client) {
	left := &m.from.left
	fly := func(text string, ask decide.Ask) {
		m.begin(i, text)
		if c.rejected && ask.Replace == "" {
			ask.Replace = access[c.cur]
		}
		m.c.state, m.c.act = decide.State{Ask: ask}, decide.Action{}
		if m.w.doc.kind == uint8(decide.Present) {
			m.c.floor = m.w.doc.acc
		}
		m.tell(decide.Event{Kind: decide.Begin})
		m.readMemory()
		m.done()
	}
	if c.unsaved != (successor{}) {
		fly("tries again to save what is unsaved", decide.Ask{SaveOnly: true})
	}
	if left.starts == 0 {
		return
	}
	n := len(m.out)
	fly("wants a token", decide.Ask{})
	if left.rejects > 0 && c.cur != 0 && !c.rejected {
		fly("hears that its token is refused, and wants another", decide.Ask{Replace: access[c.cur]})
		s := &m.out[len(m.out)-1].w
		s.left.rejects--
		k := *m.pool.clients.get(s.clients[i])
		k.rejected = true
		s.clients[i] = m.pool.client(k)
	}
	if left.forces > 0 {
		fly("is to renew its token in any case", decide.Ask{Force: true})
		m.out[len(m.out)-1].w.left.forces--
	}
	for n := range m.out[n:] {
		m.out[len(m.out)-1-n].w.left.starts--
	}
}
