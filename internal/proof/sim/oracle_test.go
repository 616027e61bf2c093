package sim

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// oracle is what it knows beside the endpoint's log.
type oracle struct {
	user     userIs
	tampered bool // somebody took the newest token out of the store
	// foreignLoss: another program lost what it was answered. stolen: it took a
	// lock of ours for dead after a jump of the clock.
	foreignLoss, stolen    bool
	rejects, forces, jumps int
	lastJump               time.Time
	highest                time.Duration // the clock has ever been ahead
	fresh                  []string      // tokens that were sent while the access token was fresh
	cuts                   []time.Time
	crippled               []int // requests whose answers are of no use to anybody
	fleeting               []int // requests whose tokens end before a slow disk has saved them

	// When a process of ours had written a refresh token (by its fingerprint),
	// and when that was durable.
	written, durable map[string]time.Time
}

type userIs int

const (
	userIn userIs = iota
	userOut
)

// tokenStart begins every refresh token of the endpoint; 48 hex digits follow.
const tokenStart = "sk-ant-ort01-test-"

// wrote notes the refresh tokens that are in the file of an attempt, or in the store.
func (w *world) wrote(name string, data []byte, durable bool) {
	if name != w.path && !strings.HasSuffix(name, ".open") {
		return
	}
	o := &w.oracle
	if o.written == nil {
		o.written, o.durable = map[string]time.Time{}, map[string]time.Time{}
	}
	for _, print := range refreshTokens(data) {
		if _, ok := o.written[print]; !ok {
			o.written[print] = time.Now()
		}
		if _, ok := o.durable[print]; !ok && durable {
			o.durable[print] = time.Now()
		}
	}
}

// refreshTokens are the fingerprints of those that stand whole in data. One that
// ends with it may have been cut: nobody can know that this is all of it.
func refreshTokens(data []byte) (prints []string) {
	const length = len(tokenStart) + 48
	for {
		i := bytes.Index(data, []byte(tokenStart))
		if i < 0 || len(data) <= i+length {
			return prints
		}
		if data[i+length] == '"' {
			prints = append(prints, issuer.Fingerprint(string(data[i:i+length])))
		}
		data = data[i+len(tokenStart):]
	}
}

// safe: a process of ours has kept the token so that nothing that happened
// since may have lost it.
func (w *world) safe(print string) bool {
	written, ok := w.oracle.written[print]
	if !ok {
		return false
	}
	durable, ok := w.oracle.durable[print]
	for _, cut := range w.oracle.cuts {
		if !cut.Before(written) && (!ok || cut.Before(durable)) {
			return false
		}
	}
	return true
}

func (w *world) jumped() {
	w.oracle.jumps++
	w.oracle.lastJump = time.Now()
}

// jumpedSince: a token that ended by a jump while it was on its way is nobody's fault.
func (w *world) jumpedSince(t time.Time) bool { return !w.oracle.lastJump.Before(t) }

func ours(r issuer.Record) bool { return r.Remote != "foreign" }

// usable: the answer told a successor that anybody can understand.
func (w *world) usable(r issuer.Record) bool {
	return r.Told && r.Status == 200 && r.Successor != "" && !slices.Contains(w.oracle.crippled, r.N)
}

// shortLived: the token may end before anybody has it.
func (w *world) shortLived(t evercred.Token) bool {
	return slices.ContainsFunc(w.endpoint.Audit(), func(r issuer.Record) bool {
		return r.Access == t.Fingerprint() && slices.Contains(w.oracle.fleeting, r.N)
	})
}

// observe looks at every request of ours as it arrives.
func (w *world) observe(at issuer.Stage, r issuer.Record) {
	if at != issuer.Arrived || !ours(r) || r.Refresh == "" {
		return
	}
	w.happened("requests")
	o := &w.oracle
	var earlier []issuer.Record
	for _, e := range w.endpoint.Audit() {
		if e.N != r.N && e.Refresh == r.Refresh && ours(e) {
			earlier = append(earlier, e)
		}
	}
	for _, e := range earlier {
		if w.usable(e) && w.safe(e.Successor) && !(w.memory != nil && o.tampered) {
			w.wrong("request %d sends a token whose answer (to request %d) was kept", r.N, e.N)
		}
	}
	steady := w.deaths == 0 && o.jumps == 0 && o.forces == 0 && w.memory == nil
	if n := len(earlier); n > 0 && steady && !w.seen["the disk is full"] && earlier[n-1].Status == 429 && r.At.Sub(earlier[n-1].Ended) < 50*time.Second {
		w.wrong("request %d comes %v after a 429", r.N, r.At.Sub(earlier[n-1].Ended))
	}
	if n := len(earlier); n >= 12 && steady && r.At.Sub(earlier[n-12].At) < 20*time.Second {
		w.wrong("request %d is the 13th with one token within %v", r.N, r.At.Sub(earlier[n-12].At))
	}
	c, err := w.stored()
	if err != nil || c.Refresh.Fingerprint() != r.Refresh || c.Expires.IsZero() {
		return
	}
	if left := c.Expires.Sub(w.machine.Now()); left > 11*time.Minute && !slices.Contains(o.fresh, c.Access.Fingerprint()) {
		o.fresh = append(o.fresh, c.Access.Fingerprint())
		if len(o.fresh) > o.rejects+o.forces+o.jumps {
			w.wrong("request %d renews a token that has %v left, and nobody asked for it", r.N, left)
		}
	}
}

// judge looks at what is left when every process has ended. tok and err are
// what the last one got.
func (w *world) judge(tok evercred.Token, err error) {
	w.report.Outcome = w.outcome(tok, err)
	w.leftovers()
	for what := range w.seen {
		w.report.Saw = append(w.report.Saw, what)
	}
	slices.Sort(w.report.Saw)
	w.report.Counts["grants"] += w.endpoint.Grants()
}

// leftovers looks for what nobody needs any more. What a dead process left is
// removed by the next refresh; swept: there was one.
func (w *world) leftovers() {
	last := w.processes[len(w.processes)-1].name
	swept := slices.ContainsFunc(w.endpoint.Audit(), func(r issuer.Record) bool { return r.Remote == last && w.usable(r) })
	if doc := w.document(); doc != nil {
		if why := stage.Foreign(doc, false); why != "" {
			w.wrong("%s", why)
		}
	}
	if w.memory != nil || !swept {
		return
	}
	for _, name := range w.disk.list(filepath.Dir(filepath.Dir(w.path))) {
		base := filepath.Base(name)
		if strings.HasSuffix(base, ".lock") || strings.HasPrefix(base, "tmp-") || strings.HasPrefix(base, "lock-") {
			w.wrong("left over: %s", base)
		}
		if data, _ := w.disk.read(filepath.Join(filepath.Dir(filepath.Dir(w.path)), name)); strings.Contains(name, ".evercred") && !strings.HasSuffix(base, ".open") && bytes.Contains(data, []byte("sk-ant-o")) {
			w.wrong("a secret is left in %s", base)
		}
	}
}

// outcome says what became of the login, and what of it is wrong.
func (w *world) outcome(tok evercred.Token, err error) string {
	o := &w.oracle
	if o.user == userOut {
		if w.document() != nil {
			w.wrong("the login that its user ended is back")
		}
		if !errors.Is(err, evercred.ErrNotFound) {
			w.wrong("nobody is logged in, and the answer is %v", reasonOf(err))
		}
		return "logged out"
	}
	c, decoded := w.stored()
	if decoded != nil {
		w.wrong("the document does not parse: %v", decoded)
		return "broken"
	}
	newest := w.endpoint.Newest(w.login.ID)
	alive := w.endpoint.Alive(newest)
	kept := c.Refresh.Reveal() == newest || w.escrowed(newest)
	switch {
	case err == nil && kept && alive:
		return "renewed"
	case err == nil && o.tampered:
		return "renewed: the login of an older copy"
	case err == nil && (c.Expires.IsZero() || w.machine.Now().Before(c.Expires)) && w.excused(newest, alive, kept):
		return "served while it is valid: the answer was lost, and no retry window"
	case err == nil:
		w.wrong("a token is served, and the login is not (kept %t, alive %t)", kept, alive)
		return "broken"
	case errors.Is(err, evercred.ErrLoginRequired):
	case reasonOf(err) == evercred.ReasonUnknownOutcome && len(o.crippled) > 0:
		return "unavailable: what was granted cannot be used" // rule 8b: asked again after the cooldown
	default:
		w.wrong("stuck: %v", err)
		return "stuck"
	}
	// The login is lost, and its user is told.
	switch {
	case o.tampered:
		return "login required: its file was changed by others"
	case o.stolen || o.foreignLoss:
		return "login required: another program's fault"
	case reasonOf(err) == evercred.ReasonLostAnswer && len(o.crippled) > 1:
		return "login required: the endpoint granted twice what cannot be used" // decision 0010
	case w.memory != nil && w.seen["the disk is full"]:
		return "login required: not saved, and without a ledger nobody else knew"
	case w.excused(newest, alive, kept):
		return "login required: the answer was lost, and no retry window"
	}
	w.wrong("the login is lost without excuse (kept %t, alive %t): %v", kept, alive, err)
	return "broken"
}

func (w *world) escrowed(token string) bool {
	for _, name := range w.disk.list(filepath.Dir(w.path)) {
		if strings.HasSuffix(name, ".open") {
			if data, _ := w.disk.read(w.file(name)); bytes.Contains(data, []byte(token)) {
				return true
			}
		}
	}
	return false
}

// excused: some answer did not reach us whole, or its reader died before it
// could keep it (guarantee 2); every answer that did reach us we have kept.
func (w *world) excused(newest string, alive, kept bool) bool {
	if alive && kept {
		return false // refused although it would be granted
	}
	excuse := false
	for _, r := range w.endpoint.Audit() {
		if r.Login != w.login.ID {
			continue
		}
		if r.Reuse && !r.Forgiven && r.Wrote == 0 { // a request that nobody awaited any more met the repeat
			return true
		}
		if r.Successor == "" {
			continue
		}
		if !w.usable(r) || !ours(r) || w.tooEarly(r) {
			excuse = true
		}
	}
	return excuse
}

// repeatedBefore: the token of r was sent again before r's answer was kept.
func (w *world) repeatedBefore(r issuer.Record) bool {
	return slices.ContainsFunc(w.endpoint.Audit(), func(e issuer.Record) bool {
		return e.N > r.N && e.Refresh == r.Refresh && e.At.Before(w.oracle.written[r.Successor])
	})
}

// tooEarly: the process died between the endpoint's commit and the moment when
// it could have kept the answer: one call after it heard it, and by a power cut
// two; a full disk may have kept it from that.
func (w *world) tooEarly(r issuer.Record) bool {
	i := slices.IndexFunc(w.processes, func(p *process) bool { return p.name == r.Remote })
	if i < 0 || w.safe(r.Successor) && !w.repeatedBefore(r) {
		return false
	}
	p := w.processes[i]
	heard, whole := p.heard[r.Successor]
	return !whole || w.memory != nil || w.seen["the disk is full"] || p.killed && p.work-heard <= 3
}
