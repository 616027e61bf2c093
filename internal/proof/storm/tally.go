package storm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/proof/suite"
)

// tally is what came of all episodes of one weather.
type tally struct {
	r *suite.Run
	w Weather

	rotations, byUs          int
	repeats                  int
	calls, failures          int
	kills, inFlight, freezes int
	lost, excused, reported  int
	unkept                   int // deaths between reading an answer and keeping it
	again                    map[string]int
}

func newTally(r *suite.Run, w Weather) *tally {
	return &tally{r: r, w: w, again: map[string]int{}}
}

// add judges an episode, has a clean process put things in order, and asks the
// oracle.
func (t *tally) add(e *episode) Epoch {
	j := newJudge(e)
	gens := j.generations()
	for _, r := range j.log {
		if r.Granted() {
			t.rotations++
			if ours(r) {
				t.byUs++
			}
		}
	}
	if t.w.Unjudged {
		return j.epoch(gens)
	}
	why, first := j.again()
	j.moments()
	j.served(gens)
	epoch := j.epoch(gens)
	for k, n := range j.seen {
		t.again[k] += n
	}
	t.repeats += j.repeats
	t.calls += len(epoch.Reads)
	t.freezes += len(e.stops)
	t.killed(j)
	for _, rd := range e.reads {
		if rd.Op == "token" && rd.Access == "" || rd.Op == "refresh" && rd.code != 0 {
			t.failures++
		}
	}
	if last, dead := j.end(); dead {
		t.died(e, why, first, last)
	} else {
		t.survived(e)
	}
	return epoch
}

func (t *tally) killed(j *judge) {
	e := j.e
	for _, k := range e.kills {
		t.kills++
		if k.holder {
			t.inFlight++
		}
		if k.unkept {
			t.unkept++
		}
		t.r.Saw(j.death(k))
	}
	// One such death may be bad luck.
	if t.unkept > 2 && t.unkept > t.inFlight/10 {
		t.r.Violation(t.w.Name, "%s: of %d killed in a refresh, %d had read an answer that the escrow does not hold", e.name, t.inFlight, t.unkept)
	}
	for _, f := range e.stops {
		fault := "SIGSTOP for a moment"
		if f.to.Sub(f.from) > e.times.StaleAge {
			fault = "SIGSTOP for longer than the stale age"
		}
		t.r.Saw(fault, "went on")
	}
}

// died: the login is gone. With a retry window only a foreigner may do that;
// without one, whoever was killed in the window of DESIGN §3.2 as well, and
// then evercred says so.
func (t *tally) died(e *episode, why string, first, last issuer.Record) {
	t.lost++
	fault := "login lost: " + why
	switch {
	case why == unexcused:
		return // it was a violation already
	case why == afterKill && t.w.Name == Window.Name:
		t.r.Violation(t.w.Name, "%s: a login was lost although the endpoint has a retry window", e.name)
		return
	}
	t.excused++
	if why != afterKill {
		t.r.Saw(fault, "not evercred's doing")
		return
	}
	told := t.told(e)
	if slices.ContainsFunc(told, func(at time.Time) bool { return first.At.Sub(at).Abs() < 2*time.Second }) {
		t.reported++
		t.r.Saw(fault, "reported, with the time")
		return
	}
	t.r.Violation(t.w.Name, "%s: the answer to the refresh of %s was lost, and nobody said so (told: %v; %s ended the login; the last process: %s)",
		e.name, first.At.Format(time.RFC3339Nano), told, last.UserAgent, e.clean().Messages)
}

var lostAt = regexp.MustCompile(`refresh of (\S+) was lost`)

// told are the times of lost answers that any process of evercred reported; the
// last one is asked now.
func (t *tally) told(e *episode) (all []time.Time) {
	o := e.clean()
	texts := []string{o.Messages}
	for _, rd := range e.reads {
		if rd.Lost != 0 {
			all = append(all, time.Unix(0, rd.Lost))
		}
		texts = append(texts, rd.text)
	}
	for _, text := range texts {
		for _, m := range lostAt.FindAllStringSubmatch(text, -1) {
			if at, err := time.Parse(time.RFC3339, m[1]); err == nil {
				all = append(all, at)
			}
		}
	}
	return all
}

// clean renews the login by one more process of evercred, which nobody
// disturbs. What passes by itself, such as the spacing after a send without an
// answer, is waited for.
func (e *episode) clean() (o stage.Outcome) {
	for end := time.Now().Add(e.times.Spacing + 2*patience); time.Now().Before(end); pause(e.hard, 100*time.Millisecond) {
		cmd := stage.Program{Path: e.p.evercred}.Command(e.hard, e.login, "refresh", "--force", "--log-level", "warn")
		if o = stage.Run(cmd); o.Code != 5 && o.Code != 6 || e.hard.Err() != nil {
			break
		}
	}
	return o
}

// survived: a clean process can renew the login, and nothing is left over.
func (t *tally) survived(e *episode) {
	o := e.clean()
	if e.hard.Err() != nil {
		return
	}
	if o.Code != 0 {
		t.r.Violation(t.w.Name, "%s: after the storm: exit %d: %s", e.name, o.Code, strings.TrimSpace(o.Messages))
	}
	for _, wrong := range e.login.Oracle() {
		t.r.Violation(t.w.Name, "%s: after the storm: %s", e.name, wrong)
	}
	t.r.Saw("a storm of 64 processes ("+t.w.Name+")", "the login lives, nothing left over")
}

// close notes the figures and the gates.
func (t *tally) close(took time.Duration) {
	figure := func(name string, v any) { t.r.Figure(t.w.Name+": "+name, v) }
	figure("rotations", t.rotations)
	figure("of them by evercred", t.byUs)
	figure("rotations a second", fmt.Sprintf("%.1f", float64(t.rotations)/took.Seconds()))
	figure("tokens served", t.calls)
	figure("calls without a token, for a time", t.failures)
	figure("killed", t.kills)
	figure("killed in a refresh", t.inFlight)
	figure("killed between reading an answer and keeping it", t.unkept)
	figure("stopped", t.freezes)
	figure("tokens sent again by evercred after a kill (§6.8b)", t.repeats)
	figure("tokens sent again, by reason", t.again)
	figure("logins lost", t.lost)
	figure("of them excused by the audit log", t.excused)
	figure("lost answers of evercred, each reported", t.reported)
	if t.r.Context().Err() == nil || errors.Is(t.r.Context().Err(), context.Canceled) && t.r.Size != suite.InControl {
		t.r.Gate(t.lost <= t.excused, "%s: %d logins lost, %d excused by the audit log", t.w.Name, t.lost, t.excused)
		t.r.Gate(t.again[unexcused] == 0, "%s: %d tokens spent twice without an excuse", t.w.Name, t.again[unexcused])
	}
}
