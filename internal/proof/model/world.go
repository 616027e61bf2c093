package model

import (
	"time"

	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/timing"
)

// Sizes of a world. A case that needs more panics.
const (
	maxClients = 3
	maxTokens  = 10 // pairs of tokens ever issued, numbered from 1
	maxRecords = 8
)

// Secrets are known by their fingerprints, and those are numbers: the n-th
// grant issues an and rn.
var access, refresh = names('a'), names('r')

func names(letter byte) (s [maxTokens]string) {
	for n := 1; n < maxTokens; n++ {
		s[n] = string([]byte{letter, '0' + byte(n)})
	}
	return s
}

// epoch is always now: times in the world are kept as ages and as what is left.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var times = timing.Default()

// The two ways in which time passes. A request that was delayed arrives within
// the spacing, or never; the window of an endpoint that has one is over after.
const (
	aWhile    = 40  // seconds: an unknown outcome's first cooldown is over
	aLongTime = 125 // seconds: so is the spacing
)

// world is one state, of comparable bytes only. What a client knows is interned
// (pool.go), so that decide.State is part of the state as it is, whatever
// members it gets.
type world struct {
	clients [maxClients]uint32
	mem     uint32 // the ledger's memory
	doc     view
	recs    [maxRecords]record // the open attempts, oldest first
	heir    [maxTokens]uint8   // the ledger's history: refresh token to successor
	guarded bool               // some client holds the guard
	lock    uint8              // the owner's lock

	age    [maxTokens]uint8 // of access tokens
	ep     [maxTokens]issued
	last   uint8            // the newest number
	login  uint8            // the newest login
	dead   uint8            // bits: logins that the endpoint revoked
	late   [maxTokens]uint8 // requests under way whose sender has gone, by refresh token
	alien  alien            // the owner's own program
	left   budget           // the faults and events still to come
	oracle oracle
}

// view is a document.
type view struct {
	kind     uint8 // decide.Presence
	acc, ref uint8
	login    uint8
}

// record is an open attempt.
type record struct {
	used            bool
	ref, acc, login uint8 // the intent
	marked          bool
	age             uint8 // seconds since the mark
	answer          answer
}

// answer is what a record or a reply holds.
type answer struct {
	some     bool
	verdict  uint8 // decide.Verdict
	acc, ref uint8 // of a Granted one; ref 0: it names none
}

// issued is a refresh token as the endpoint knows it.
type issued struct {
	login uint8
	spent uint8 // inWindow, afterWindow
	next  answer
}

const (
	inWindow = 1 + iota
	afterWindow
)

// States of the owner's lock.
const (
	lockFree  = iota
	lockLeft  // by a dead client of ours: the next of ours takes it at once
	lockOurs  // of the client with own == held
	lockAlien // of the owner's program
)

// Ages of access tokens.
const (
	ageFresh = iota
	ageEarly
	ageEnded
)

// budget is how often a thing may happen. Each is used up, so that every
// exploration ends.
type budget struct {
	starts    uint8 // flights that begin
	kills     uint8
	losses    uint8 // messages delayed, lost, cut or replaced by a 5xx
	thefts    uint8 // of the owner's lock
	aliens    uint8 // refreshes by the owner's program
	saveFails uint8
	stops     uint8 // flights told to end
	expiries  uint8
	rejects   uint8 // an API refuses the token that a client was served
	forces    uint8
	logouts   uint8
	logins    uint8
	backups   uint8 // an older copy of the document comes back
	whiles    uint8
	longs     uint8
}

// oracle is what the properties need to remember.
type oracle struct {
	answered uint16 // bits: refresh tokens to which an answer became durable
	unheard  uint16 // bits: refresh tokens whose successor was committed and not heard of
	alien    uint16 // bits: refresh tokens that the owner's program sent
	newest   uint8  // the newest access token that was durable here; 0: void
	sends    uint8  // requests of ours
	calm     uint8  // and since time last passed
}

// sight is what decide may know of a document.
func (w *world) sight(v view) decide.Sight {
	s := decide.Sight{Kind: decide.Presence(v.kind)}
	switch s.Kind {
	case decide.Blanked:
		s.Left = -time.Hour
	case decide.Present:
		s.Access, s.Refresh = access[v.acc], refresh[v.ref]
		s.Left = [...]time.Duration{8 * time.Hour, 5 * time.Minute, -time.Minute}[w.age[v.acc]]
	default:
		return s
	}
	s.Early, s.Late = 10*time.Minute, 30*time.Second
	return s
}

func (w *world) records() []record {
	for i := range w.recs {
		if !w.recs[i].used {
			return w.recs[:i]
		}
	}
	return w.recs[:]
}

// remove takes a record out of the folder.
func (w *world) remove(i int) {
	copy(w.recs[i:], w.recs[i+1:])
	w.recs[maxRecords-1] = record{}
}

// issue makes the next pair of tokens.
func (w *world) issue(login, ref uint8) answer {
	w.last++
	n := w.last
	if n >= maxTokens {
		panic("model: a case with too many tokens")
	}
	if ref == 0 {
		w.ep[n].login = login
		return answer{some: true, verdict: uint8(decide.Granted), acc: n, ref: n}
	}
	return answer{some: true, verdict: uint8(decide.Granted), acc: n}
}

// pass lets seconds go by for all that has an age.
func (m *machine) pass(seconds uint8) {
	w := &m.w
	w.mem = m.pool.memory(m.pool.memories.get(w.mem).older(seconds))
	for i := range w.records() {
		if r := &w.recs[i]; r.marked {
			r.age = min(r.age+seconds, aLongTime)
		}
	}
	for i, id := range w.clients[:m.of.clients] {
		c := *m.pool.clients.get(id)
		c.snap = m.pool.memory(m.pool.memories.get(c.snap).older(seconds))
		for _, since := range []*int16{&c.wasLost, &c.lastLeft} {
			if *since >= 0 {
				*since = min(*since+int16(seconds), aLongTime)
			}
		}
		w.clients[i] = m.pool.client(c)
	}
	w.oracle.calm = 0
	if seconds < aLongTime {
		return
	}
	clear(w.late[:])
	for i := range w.ep {
		if w.ep[i].spent == inWindow {
			w.ep[i].spent = afterWindow
		}
	}
}
