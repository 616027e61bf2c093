package storm

import (
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// History is what was done to a number of logins, one after the other.
type History []Epoch

// Epoch is the history of one login. A generation is what one grant issued,
// numbered in the order of the endpoint's commits; what was laid is 0. Times
// are wall-clock nanoseconds of one machine.
type Epoch struct {
	Name   string
	Writes []Write
	Reads  []Read
	// Probe is the clients' Options.Probe.
	Probe time.Duration
}

// Write puts a generation into the store. It happens between Call and Return:
// not before the endpoint committed it, and not after it was itself sent, since
// only a stored refresh token is. Where a foreigner saved it, the times are
// those of its write.
type Write struct {
	Generation   int
	Call, Return int64
}

// Read is one call for a token.
type Read struct {
	Client       int  // a process
	Command      bool // which has nothing in memory; else a library client, which has
	Call, Return int64
	// Awake is Call on a clock that stood still while the process did (SIGSTOP).
	Awake      int64
	Generation int
}

// generations are what the endpoint issued to a login.
type generations struct {
	all []generation
	of  map[string]int // by fingerprint of the access token
}

type generation struct {
	committed       time.Time
	refresh, access string
}

func (j *judge) generations() generations {
	first := j.e.login.First
	g := generations{
		all: []generation{{first.Expires.Add(-lifetime), issuer.Fingerprint(first.Refresh), issuer.Fingerprint(first.Access)}},
		of:  map[string]int{},
	}
	for _, r := range j.log {
		if r.Granted() {
			g.all = append(g.all, generation{r.Committed, r.Successor, r.Access})
		}
	}
	slices.SortFunc(g.all, func(a, b generation) int { return a.committed.Compare(b.committed) })
	for i, it := range g.all {
		g.of[it.access] = i
	}
	return g
}

// epoch writes the history of the episode down.
func (j *judge) epoch(gens generations) Epoch {
	ep := Epoch{Name: j.e.name, Probe: probe}
	const end = int64(1<<63 - 1)
	spent := map[string]int64{} // when a refresh token was first sent
	for _, r := range j.log {
		if _, ok := spent[r.Refresh]; !ok {
			spent[r.Refresh] = r.At.UnixNano()
		}
	}
	for i, g := range gens.all {
		w := Write{Generation: i, Call: g.committed.UnixNano(), Return: end}
		if at, ok := spent[g.refresh]; ok {
			w.Return = at
		}
		if i > 0 {
			if s, ok := j.saved[gens.all[i-1].refresh]; ok && s.Access == g.access && s.Return <= w.Return {
				w.Call, w.Return = max(w.Call, s.Call), s.Return
			}
		}
		ep.Writes = append(ep.Writes, w)
	}
	for _, rd := range j.e.reads {
		if g, ok := gens.of[rd.Access]; ok && rd.Op == "token" {
			ep.Reads = append(ep.Reads, Read{rd.client, rd.command, rd.Call, rd.Return, rd.Call - j.stopped(rd), g})
		}
	}
	return ep
}

// stopped is for how long the reader had stood still before it called.
func (j *judge) stopped(rd read) (sum int64) {
	for _, f := range j.e.stops {
		if f.process == rd.client && f.from.UnixNano() < rd.Call {
			sum += f.to.Sub(f.from).Nanoseconds()
		}
	}
	return sum
}

func trim(s string) string { return strings.TrimSpace(s) }
