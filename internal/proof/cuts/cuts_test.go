package cuts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
)

// window is longer than any case.
const window = time.Hour

const (
	ended = -time.Hour
	early = 5 * time.Minute
)

// TestCuts is the suite's worker, and a small run of it as a test.
func TestCuts(t *testing.T) {
	job := Job{N: 300, Shards: 1}
	if text := os.Getenv(jobVar); text != "" {
		if err := json.Unmarshal([]byte(text), &job); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{t: t, job: job, dir: memory(t), began: time.Now()}
	cases := b.cases()
	t.Logf("%d cases", len(cases))
	for i, c := range cases {
		if i%job.Shards == job.Shard && (job.N >= len(cases) || i*job.N/len(cases) != (i+1)*job.N/len(cases)) && strings.HasPrefix(c.name, job.Only) {
			b.try(c)
		}
	}
}

// memory is a directory that is not on a disk, if there is such.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "evercred-cuts-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// bench is where cases are tried.
type bench struct {
	t     *testing.T
	job   Job
	dir   string
	began time.Time // the real time: a bubble's clock begins in 2000
	nth   int
}

// trial is one case. try returns the outcome.
type trial struct {
	name, fault string
	try         func(dir string, r *report) string
}

func (b *bench) bubble(f func(dir string)) {
	b.nth++
	dir := fmt.Sprintf("%s/%d", b.dir, b.nth)
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(b.t, func(*testing.T) {
		time.Sleep(time.Until(b.began))
		f(dir)
	})
}

func (b *bench) try(c trial) {
	line := Line{Case: c.name, Fault: c.fault}
	b.bubble(func(dir string) {
		var r report
		line.Outcome = c.try(dir, &r)
		line.Wrong = r.String()
	})
	if os.Getenv(jobVar) == "" {
		if line.Wrong != "" {
			b.t.Errorf("%s: %s", line.Case, line.Wrong)
		}
		return
	}
	text, _ := json.Marshal(line)
	fmt.Printf("%s\n", text)
}

// profile is one kind of endpoint.
type profile struct {
	name string
	how  issuer.Behaviour
}

func profiles() (all []profile) {
	for _, p := range []struct {
		name string
		how  issuer.Profile
	}{{"strict", issuer.Strict()}, {"idempotent", issuer.Idempotent(window)}, {"sibling", issuer.Sibling(window)}, {"no rotation", issuer.NoRotation()}} {
		all = append(all, profile{p.name, issuer.Behaviour{Profile: p.how, Members: map[string]string{"scope": `"user:inference"`}}})
	}
	return all
}

// recovers: an answer that was lost can be had again.
func (p profile) recovers() bool { return p.how.Profile != issuer.Strict() }

func (b *bench) cases() (all []trial) {
	for _, p := range profiles() {
		for _, chunked := range []bool{false, true} {
			p.how.Chunked = chunked
			all = append(all, b.answers(p, whole)...)
		}
	}
	turned := whole
	turned.turned = true
	for _, p := range profiles()[:2] {
		p.name += ", refresh token first"
		all = append(all, b.answers(p, turned)...)
	}
	return slices.Concat(all, b.refusals(), refused(), b.requests(), b.handshakes())
}

// probe is the answer to the first request when nothing is cut.
func (b *bench) probe(p profile, c cut) (raw []byte) {
	b.bubble(func(dir string) {
		l := newLogin(dir, ended, p.how, newNetwork(c), nil)
		defer l.close()
		if _, err := l.ask(); err != nil {
			panic(err)
		}
		raw = bytes.Clone(l.net.got)
	})
	return raw
}

// answers cut the answer at each byte.
func (b *bench) answers(p profile, c cut) (all []trial) {
	raw := b.probe(p, c)
	framing := "length"
	if p.how.Chunked {
		framing = "chunked"
	}
	for k := range len(raw) + 1 {
		for _, reset := range []bool{false, true} {
			c.in, c.reset = k, reset
			how := "FIN"
			if reset {
				how = "RST"
			}
			a := answer{profile: p, cut: c, whole: raw, got: raw[:k]}
			name := fmt.Sprintf("answer, %s, %s, %s at %d", p.name, framing, how, k)
			all = append(all, trial{name, a.fault(), a.late})
			if k%8 == 0 || k == len(raw) {
				all = append(all, trial{name + ", early", a.fault() + ", in the early window", a.early})
			}
		}
	}
	return all
}

// answer is one answer of which only a part comes.
type answer struct {
	profile    profile
	cut        cut
	whole, got []byte
}

// class is what the part that came means, found by looking for the very tokens.
func (a answer) class() string {
	body, full := a.body(a.got), a.body(a.whole)
	access, refresh := member(full, "access_token"), member(full, "refresh_token")
	has := func(m string) bool { return m != "" && bytes.Contains(body, []byte(m)) }
	switch {
	case has(access) && has(refresh), has(access) && refresh == "" && len(body) == len(full):
		return "granted"
	case has(refresh):
		return "committed"
	}
	return "unknown"
}

// member is `"name":"value"`, as it stands in a body.
func member(body []byte, name string) string {
	_, after, ok := bytes.Cut(body, []byte(`"`+name+`":"`))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(after, []byte(`"`))
	return fmt.Sprintf(`"%s":"%s"`, name, value)
}

// body is what of the body is in a part of an answer.
func (a answer) body(part []byte) []byte {
	_, rest, ok := bytes.Cut(part, []byte("\r\n\r\n"))
	if !ok || !a.profile.how.Chunked {
		return rest
	}
	var body []byte
	for {
		size, after, ok := bytes.Cut(rest, []byte("\r\n"))
		n, err := strconv.ParseInt(string(size), 16, 32)
		if !ok || err != nil || n == 0 {
			return body
		}
		body = append(body, after[:min(int(n), len(after))]...)
		rest = after[min(int(n)+2, len(after)):]
	}
}

func (a answer) fault() string {
	head := bytes.Contains(a.got, []byte("\r\n\r\n"))
	switch class := a.class(); {
	case len(a.got) == len(a.whole):
		return "nothing cut"
	case class == "granted":
		return "answer cut after the tokens"
	case class == "committed":
		return "answer cut, the refresh token alone came"
	case head:
		return "answer cut in the body"
	}
	return "answer cut in the head"
}

// late is a call that needs a token now.
func (a answer) late(dir string, r *report) string {
	l := newLogin(dir, ended, a.profile.how, newNetwork(whole, a.cut), nil)
	defer l.close()
	got, err := l.ask()
	class, unknown := a.class(), l.saw(evercred.EventUnknown)
	if (class == "granted") == unknown {
		r.add("what came means %q, and evercred took it for unknown: %v", class, unknown)
	}
	if l.saw(evercred.EventRefused) {
		r.add("half an answer counted as a refusal")
	}
	if class == "granted" {
		a.granted(l, r, got, err)
		return "granted"
	}
	return a.repeated(l, r, got, err)
}

// granted: the part that came is enough.
func (a answer) granted(l *login, r *report, got evercred.Refreshed, err error) {
	l.good(r, got, err)
	if n := l.server.Requests(); n != 1 {
		r.add("%d requests, and one was answered well enough", n)
	}
	// 28 may be the beginning of 28800.
	body := a.body(a.got)
	said := bytes.Contains(body, []byte(`"expires_in":28800,`)) || bytes.HasSuffix(body, []byte("}"))
	if left := time.Until(got.Token.Expires()).Round(time.Minute); said && left != 8*time.Hour || !said && left != time.Hour {
		r.add("a lifetime of %v (the answer told it: %v)", left, said)
	}
}

// repeated: the same token was sent again, once, and that tells.
func (a answer) repeated(l *login, r *report, got evercred.Refreshed, err error) string {
	if n := l.server.Requests(); n != 2 {
		r.add("%d requests, and the repeat was answered", n)
	}
	if a.profile.recovers() {
		l.good(r, got, err)
		return "recovered by a repeat"
	}
	l.lost(r, err)
	return "lost, and said so"
}

// lost: told as lost, now and later, and nothing is touched.
func (l *login) lost(r *report, err error) {
	for range 2 {
		if reason(err) != evercred.ReasonLostAnswer {
			r.add("lost, and not told so: %v", err)
		}
		l.untouched(r)
		_, err = l.ask()
	}
	if n := l.server.Requests(); n != 2 {
		r.add("%d requests for a login that is known to be dead", n)
	}
}

// early is a call while the stored token is still good: it sends once, and the
// next call repeats.
func (a answer) early(dir string, r *report) string {
	l := newLogin(dir, early, a.profile.how, newNetwork(whole, a.cut), nil)
	defer l.close()
	got, err := l.ask()
	synctest.Wait() // the endpoint may still be at it
	class, unknown := a.class(), l.saw(evercred.EventUnknown)
	if (class == "granted") == unknown {
		r.add("what came means %q, and evercred took it for unknown: %v", class, unknown)
	}
	if class == "granted" {
		a.granted(l, r, got, err)
		return "granted"
	}
	if err != nil || got.Token.Reveal() != l.first.Access || l.server.Requests() != 1 {
		r.add("the valid token is not served after one request: %v, %d", err, l.server.Requests())
	}
	l.untouched(r)
	time.Sleep(time.Minute) // longer than the first cooldown of an unknown outcome
	got, err = l.ask()
	if n := l.server.Requests(); n != 2 {
		r.add("%d requests after the next call", n)
	}
	if a.profile.recovers() {
		l.good(r, got, err)
		return "recovered by the next call"
	}
	if err != nil || got.Token.Reveal() != l.first.Access || reason(got.Err) != evercred.ReasonLostAnswer {
		r.add("the valid token is not served, or the loss not told: %v, %v", err, got.Err)
	}
	time.Sleep(early)
	_, err = l.ask()
	l.lost(r, err)
	return "lost, and said so; served to its end"
}

// refusals cut an invalid_grant at each byte: half of one convicts nobody.
func (b *bench) refusals() (all []trial) {
	no := issuer.Fault{Uncommitted: true, Answer: &issuer.Answer{
		Status: http.StatusBadRequest,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   []byte(`{"error":"invalid_grant","error_description":"not now"}`),
	}}
	for _, chunked := range []bool{false, true} {
		p, size := profiles()[0], 0
		p.how.Chunked = chunked
		b.bubble(func(dir string) {
			l := newLogin(dir, ended, p.how, newNetwork(whole), nil)
			defer l.close()
			l.server.Script(1, no)
			l.ask()
			size = len(l.net.got)
		})
		for k := range size + 1 {
			name := fmt.Sprintf("refusal, chunked %v, cut at %d", chunked, k)
			all = append(all, trial{name, "refusal cut", func(dir string, r *report) string {
				c := whole
				c.in = k
				l := newLogin(dir, ended, p.how, newNetwork(whole, c), nil)
				defer l.close()
				l.server.Script(1, no)
				got, err := l.ask()
				if k == size {
					if reason(err) != evercred.ReasonRefused || l.server.Requests() != 1 {
						r.add("a whole refusal, and %d requests: %v", l.server.Requests(), err)
					}
					l.untouched(r)
					return "refused"
				}
				l.good(r, got, err)
				if n := l.server.Requests(); n != 2 || !l.saw(evercred.EventUnknown) {
					r.add("half a refusal, and %d requests", n)
				}
				return "recovered by a repeat"
			}})
		}
	}
	return all
}

// unsent: as long as the network is broken nothing is sent and nothing counts as
// sent; once it is mended, the next call succeeds.
func unsent(l *login, r *report) string {
	_, err := l.ask()
	if reason(err) != evercred.ReasonUnreachable {
		r.add("not sent, and told as: %v", err)
	}
	if l.net.dials > 3 {
		r.add("%d tries", l.net.dials)
	}
	l.unspent(r)
	m, open := l.memory()
	if open != 0 || m.Unanswered != nil || m.Dead != nil || len(m.Spent) > 0 {
		r.add("not sent, and %d attempts are open, unanswered %v, dead %v", open, m.Unanswered != nil, m.Dead != nil)
	}
	if c := m.Cooldown; c == nil || c.Reason != string(evercred.ReasonUnreachable) || time.Until(c.Until) > 3*time.Second {
		r.add("not sent, and the cooldown is %+v", c)
	}
	l.untouched(r)
	l.net.mend()
	time.Sleep(3 * time.Second)
	got, err := l.ask()
	l.good(r, got, err)
	if n := l.server.Requests(); n != 1 {
		r.add("%d requests after the network was mended", n)
	}
	return "not sent; the next call succeeds"
}

// unspent: nothing counted as sent.
func (l *login) unspent(r *report) {
	if l.saw(evercred.EventUnknown) || l.saw(evercred.EventLost) || l.server.Grants() != 0 {
		r.add("not sent, and counted as sent")
	}
}

// once: only the first try meets the fault, and the same call succeeds.
func once(l *login, r *report) string {
	got, err := l.ask()
	if l.saw(evercred.EventUnknown) {
		r.add("not sent, and counted as sent")
	}
	l.good(r, got, err)
	if n := l.server.Requests(); n != 1 {
		r.add("%d requests", n)
	}
	return "not sent; the same call succeeds"
}

// broken are the two cases of a fault before anything is sent: for a moment, and
// for good.
func broken(name, fault string, c cut, s *secure) []trial {
	with := func(try func(*login, *report) string, last cut) func(string, *report) string {
		return func(dir string, r *report) string {
			l := newLogin(dir, ended, profiles()[0].how, newNetwork(last, c), s)
			defer l.close()
			return try(l, r)
		}
	}
	return []trial{
		{name + ", once", fault, with(once, whole)},
		{name + ", always", fault, with(unsent, c)},
	}
}

func refused() []trial { return broken("connect refused", "connect refused", cut{}, nil) }

// requests break the connection when k bytes of the request have left.
func (b *bench) requests() (all []trial) {
	all = broken("request cut at 0", "request cut before its first byte", cut{connects: true, in: -1, out: 0}, nil)
	size := 0
	b.bubble(func(dir string) {
		l := newLogin(dir, ended, profiles()[0].how, newNetwork(whole), nil)
		defer l.close()
		l.ask()
		size = l.net.left
	})
	for _, p := range profiles() {
		for k := 1; k <= size; k++ {
			fault := "request cut amid"
			if k == size {
				fault = "request cut behind its last byte"
			}
			all = append(all, trial{fmt.Sprintf("request, %s, cut at %d", p.name, k), fault, func(dir string, r *report) string {
				return requestCut(dir, r, p, k, size)
			}})
		}
	}
	return all
}

// requestCut: what began to leave is unknown, and is repeated; an endpoint that
// saw only a part of it has granted nothing.
func requestCut(dir string, r *report, p profile, k, size int) string {
	c := whole
	c.out = k
	l := newLogin(dir, ended, p.how, newNetwork(whole, c), nil)
	defer l.close()
	got, err := l.ask()
	if !l.saw(evercred.EventUnknown) {
		r.add("%d of %d bytes have left, and they counted as not sent", k, size)
	}
	if k == size && !p.recovers() {
		l.lost(r, err)
		return "lost, and said so"
	}
	l.good(r, got, err)
	return "recovered by a repeat"
}

// handshakes cut what the endpoint says in TLS, from the first byte on: during
// the handshake nothing is sent yet.
func (b *bench) handshakes() (all []trial) {
	server, roots, err := issuer.SelfSigned()
	if err != nil {
		b.t.Fatal(err)
	}
	s := &secure{server, roots}
	size := 0
	b.bubble(func(dir string) {
		l := newLogin(dir, ended, profiles()[0].how, newNetwork(whole), s)
		defer l.close()
		if _, err := l.ask(); err != nil {
			panic(err)
		}
		size = len(l.net.got)
	})
	for k := range size + 1 {
		for _, reset := range []bool{false, true} {
			name := fmt.Sprintf("TLS, cut at %d, reset %v", k, reset)
			all = append(all, trial{name, "TLS cut", func(dir string, r *report) string {
				return tlsCut(dir, r, cut{connects: true, in: k, out: -1, reset: reset}, s)
			}})
		}
	}
	return all
}

// tlsCut: where the handshake ends differs by a byte or two each time, so the
// endpoint tells whether a request came.
func tlsCut(dir string, r *report, c cut, s *secure) string {
	l := newLogin(dir, ended, profiles()[1].how, newNetwork(whole, c), s)
	defer l.close()
	got, err := l.ask()
	l.good(r, got, err)
	switch n, unknown := l.server.Requests(), l.saw(evercred.EventUnknown); {
	case n == 1 && !unknown && l.net.dials == 2:
		return "not sent; the same call succeeds"
	case n == 2 && unknown:
		return "recovered by a repeat"
	case n == 1 && !unknown && l.net.dials == 1:
		return "granted"
	default:
		r.add("%d requests on %d connections, taken for unknown: %v", n, l.net.dials, unknown)
	}
	return ""
}
