package storm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// judge reads the audit log beside what was done to the processes.
type judge struct {
	e     *episode
	log   []issuer.Record // the login's own, in the order of arrival
	saved map[string]stage.Line
	taken []time.Time // when a foreigner took a stale lock over

	repeats int            // §8b: the same token while it was unanswered
	seen    map[string]int // why a token was sent again, by reason
}

// slack is what a loaded machine may put between a look at the store and the
// arrival of the request that followed it.
const slack = 300 * time.Millisecond

func newJudge(e *episode) *judge {
	j := &judge{e: e, saved: map[string]stage.Line{}, seen: map[string]int{}}
	for _, r := range e.server.Audit() {
		if r.Login == e.login.ID {
			j.log = append(j.log, r)
		}
	}
	for _, l := range e.foreign {
		switch l.Op {
		case "saved":
			j.saved[l.Refresh] = l
		case "takeover":
			j.taken = append(j.taken, time.Unix(0, l.Call))
		}
	}
	return j
}

func ours(r issuer.Record) bool { return strings.HasPrefix(r.UserAgent, "evercred/") }

// Why a token was sent a second time.
const (
	afterKill   = "the first sender was killed before step 8's write"
	byForeigner = "the first sender was a foreigner that lost its answer"
	among       = "the foreigners, among themselves"
	overtaken   = "stopped for longer than the stale age, and overtaken by a foreigner"
	stolen      = "a foreigner took a stale lock over, unchecked"
	abandoned   = "nobody of ours came to a dead process's escrow within the stale age, and a foreigner did"
	unsaved     = "the save found no time under the load; kept in the escrow (step 11)"
	unexcused   = "unexcused"
)

// again judges each request with a token that had been sent before, and returns
// the reason for the last one.
func (j *judge) again() (last string, first issuer.Record) {
	sent := map[string]issuer.Record{}
	for _, r := range j.log {
		if before, ok := sent[r.Refresh]; ok {
			why, what := j.reason(before, r)
			j.seen[why]++
			if ours(r) && why == afterKill {
				j.repeats++
			}
			if why == unexcused {
				j.e.r.Violation(j.e.w.Name, "%s, request %d after %d: %s", j.e.name, r.N, before.N, what)
			}
			last, first = why, before
		}
		sent[r.Refresh] = r
	}
	return last, first
}

// reason says why b sent the token that a had sent.
func (j *judge) reason(a, b issuer.Record) (why, what string) {
	stopped := j.longStop(a.At, b.At)
	switch {
	case !ours(a) && !ours(b):
		return among, ""
	case ours(a):
		if k, found := j.deathIn(a, b); found {
			late := b.At.Sub(k.at)
			switch {
			case !slices.Contains(k.answered, a.Refresh):
			case !ours(b) && late > j.e.times.StaleAge*9/10:
				return abandoned, "" // the foreigner knows nothing of our escrow
			default:
				return unexcused, fmt.Sprintf("sent again, by %s and %v after the kill, although its answer was in the escrow of the killed process", b.UserAgent, late.Round(time.Millisecond))
			}
			return afterKill, ""
		}
	default:
		if _, ok := j.saved[a.Refresh]; !ok {
			return byForeigner, ""
		}
	}
	switch {
	case stopped:
		return overtaken, ""
	case j.takeover(a.At, b.At):
		return stolen, ""
	case ours(a) && j.notSaved(a.At, b.At):
		return unsaved, ""
	case ours(a) && ours(b):
		return unexcused, "two processes of ours sent one token, and neither was killed"
	case ours(a):
		return unexcused, "a foreigner held the locks while we were about to save"
	}
	late := b.At.Sub(time.Unix(0, j.saved[a.Refresh].Return)).Round(time.Millisecond)
	return unexcused, fmt.Sprintf("we sent it %v after a foreigner, who held the locks, had saved its successor", late)
}

// deathIn finds the kill of a sender between two sends of its token.
func (j *judge) deathIn(a, b issuer.Record) (kill, bool) {
	for _, k := range j.e.kills {
		if k.holder && !k.at.Before(a.At.Add(-slack)) && !k.at.After(b.At) && (slices.Contains(k.unanswered, a.Refresh) || slices.Contains(k.answered, a.Refresh)) {
			return k, true
		}
	}
	return kill{}, false
}

// death says where in a refresh a process was killed, and what came of that.
func (j *judge) death(k kill) (fault, outcome string) {
	switch {
	case !k.holder:
		return "SIGKILL outside a refresh", "nothing to recover"
	case len(k.answered) > 0:
		return "SIGKILL after the answer, before the save", "recovered from the escrow"
	case len(k.unanswered) > 0:
		before, after := 0, 0
		for _, r := range j.log {
			if slices.Contains(k.unanswered, r.Refresh) && r.At.Before(k.at) {
				before++
			} else if slices.Contains(k.unanswered, r.Refresh) {
				after++
			}
		}
		switch {
		case before == 0:
			return "SIGKILL before the first byte", "the next process sent it"
		case after > 0:
			return "SIGKILL after the request, before the answer was kept", "the same token asked for again"
		}
		return "SIGKILL after the request, before the answer was kept", "the storm ended"
	}
	return "SIGKILL in a refresh, before the request or after the save", "the next process took over"
}

// longStop reports whether the holder of the guard stood still for as long as
// makes its locks pass for dead.
func (j *judge) longStop(from, to time.Time) bool {
	return slices.ContainsFunc(j.e.stops, func(f freeze) bool {
		return f.holder && f.to.Sub(f.from) > j.e.times.StaleAge*9/10 && f.from.Before(to) && f.to.After(from.Add(-j.e.times.StaleAge))
	})
}

// notSaved reports whether a process of ours said that it could not save.
func (j *judge) notSaved(from, to time.Time) bool {
	return slices.ContainsFunc(j.e.reads, func(rd read) bool {
		at := time.Unix(0, rd.Return)
		return couldNotSave(rd) && at.After(from) && at.Before(to.Add(time.Second))
	})
}

func couldNotSave(rd read) bool {
	return rd.Reason == "save-failed" || rd.code == 7 && strings.Contains(rd.text, "could not be saved; it is kept")
}

func (j *judge) takeover(from, to time.Time) bool {
	return slices.ContainsFunc(j.taken, func(t time.Time) bool {
		return t.After(from.Add(-2*time.Second)) && t.Before(to)
	})
}

// moments are the violations seen at the deaths themselves.
func (j *judge) moments() {
	for _, k := range j.e.kills {
		for _, w := range k.wrong {
			j.e.r.Violation(j.e.w.Name, "%s, at a kill: %s", j.e.name, w)
		}
		if k.saving && len(k.unanswered) > 0 && len(k.answered) == 0 {
			j.e.r.Violation(j.e.w.Name, "%s: killed while it saved a successor that was not in the escrow", j.e.name)
		}
	}
}

// end is the request that ended the login, if one did.
func (j *judge) end() (issuer.Record, bool) {
	i := slices.IndexFunc(j.log, deadly)
	if i < 0 {
		return issuer.Record{}, false
	}
	return j.log[i], true
}

// served looks at every token that somebody was given: the endpoint had issued
// it, and it had not ended when it was asked for.
func (j *judge) served(gens generations) {
	ended, dead := j.end()
	for _, rd := range j.e.reads {
		if rd.Op == "event" {
			continue
		}
		if rd.Access == "" {
			j.failed(rd, dead && rd.Return > ended.At.UnixNano())
			continue
		}
		g, ok := gens.of[rd.Access]
		if !ok {
			j.e.r.Violation(j.e.w.Name, "%s: a token was served that nobody issued", j.e.name)
			continue
		}
		// expires_in counts from the arrival of the answer, which whoever is
		// stopped meanwhile sees late.
		end := gens.all[g].committed.Add(lifetime + time.Second + j.stopAt(gens.all[g].committed))
		if time.Unix(0, rd.Call).After(end) {
			j.e.r.Violation(j.e.w.Name, "%s: a token was served %v after its end", j.e.name, time.Unix(0, rd.Call).Sub(end).Round(time.Millisecond))
		}
	}
}

func (j *judge) stopAt(t time.Time) (longest time.Duration) {
	for _, f := range j.e.stops {
		if f.from.Before(t.Add(time.Second)) && f.to.After(t) {
			longest = max(longest, f.to.Sub(f.from))
		}
	}
	return longest
}

// failed judges a call that got no token: while the login lives, only trouble
// that passes is an answer.
func (j *judge) failed(rd read, dead bool) {
	passing := []string{"unavailable", "spacing", "timeout", "locked", "unknown-outcome", "unreachable", "closed"}
	ok := slices.Contains(passing, rd.Reason)
	what := rd.Reason
	if rd.command {
		ok = rd.code == 5 || rd.code == 6 || rd.code == 0 && rd.Op == "refresh" || couldNotSave(rd)
		what = fmt.Sprintf("exit %d: %s", rd.code, strings.TrimSpace(rd.text))
	}
	if !ok && !dead {
		j.e.r.Violation(j.e.w.Name, "%s: a living login was called dead or broken: %s", j.e.name, what)
	}
}
