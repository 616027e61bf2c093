//go:build unix

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/owner/anthropic"
)

const (
	clientID = "interop-test-client"
	patience = time.Minute // for all clients of a test, on a busy machine
)

var codec = anthropic.Codec{ClientID: clientID}

// neighbours are what evercred keeps and the SDK drops (INTEROP §6).
const neighbours = `"scope": "user:inference user:profile",
  "organization_uuid": "4b1f\u002d", "account_email": "nobody@example.com", "workspace_id": "wrkspc_01test",
  "x_new": [1.50, 12345678901234567890]`

// profile is an expired login of a profile on disk, and its endpoint, which has a
// retry window.
type profile struct {
	t    *testing.T
	dir  string
	path string
	ep   *credtest.Endpoint
	id   int
}

func newProfile(t *testing.T) *profile {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &profile{t: t, dir: dir, path: filepath.Join(dir, "credentials", "default.json")}
	p.ep = credtest.NewEndpoint(t, &credtest.EndpointOptions{Behaviour: credtest.Behaviour{
		Profile: credtest.Idempotent(time.Hour), BeforeCommit: 20 * time.Millisecond, AfterCommit: 20 * time.Millisecond,
	}})
	first := p.ep.LoginFor(clientID)
	p.id = first.ID
	base := strings.TrimSuffix(p.ep.URL(), "/v1/oauth/token")
	p.write("configs/default.json", fmt.Sprintf(`{"version":"1.0","authentication":{"type":"user_oauth","client_id":%q},"base_url":%q}`, clientID, base))
	p.write("credentials/default.json", fmt.Sprintf("{\n  \"version\": \"1.0\",\n  \"type\": \"oauth_token\",\n  \"access_token\": %q,\n  \"refresh_token\": %q,\n  \"expires_at\": %d,\n  %s\n}\n",
		first.Access, first.Refresh, time.Now().Add(-time.Hour).Unix(), neighbours))
	return p
}

func (p *profile) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

// stored is what is on disk, in a file that the SDK accepts.
func (p *profile) stored() ([]byte, evercred.Credential) {
	p.t.Helper()
	doc, err := os.ReadFile(p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := codec.Decode(doc)
	if err != nil {
		p.t.Fatal(err)
	}
	if info, err := os.Lstat(p.path); err != nil || info.Mode() != 0o600 {
		p.t.Errorf("mode %v %v", info.Mode(), err)
	}
	return doc, c
}

// expire lets the stored access token end.
func (p *profile) expire() {
	p.t.Helper()
	doc, c := p.stored()
	c.Expires = time.Now().Add(-time.Minute)
	doc, err := codec.Encode(doc, c)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("credentials/default.json", string(doc))
}

// alive: what is stored is the newest that the endpoint issued, and still good.
func (p *profile) alive() {
	p.t.Helper()
	_, c := p.stored()
	if refresh := c.Refresh.Reveal(); refresh != p.ep.Committed(p.id) || !p.ep.Alive(refresh) {
		p.t.Error("the stored refresh token is not the newest, or is dead")
	}
	if n := len(p.ep.Audit()); n > 0 && time.Until(c.Expires) < time.Hour {
		p.t.Errorf("the stored token ends %v", c.Expires)
	}
}

// result is what became of a client.
type result struct {
	who, out, errs string
	err            error
}

// race starts the clients, waits until all are ready, calls ready, and lets them go.
func (p *profile) race(ready func(), who ...string) []result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	wait, gate, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	defer gate.Close()
	loaded, say, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	defer loaded.Close()
	all := make([]result, len(who))
	cmds := make([]*exec.Cmd, len(who))
	outs, errs := make([]bytes.Buffer, len(who)), make([]bytes.Buffer, len(who))
	for i, w := range who {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(credtest.Env(p.t), clientVar+"="+w, anthropic.VarConfigDir+"="+p.dir)
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = wait, &outs[i], &errs[i], []*os.File{say}
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		cmds[i] = cmd
	}
	wait.Close()
	say.Close()
	for range who { // one byte of each; a client that fails before closes its end
		if _, err := loaded.Read(make([]byte, 1)); err != nil {
			p.t.Error("a client is not ready: ", err)
			break
		}
	}
	if ready != nil {
		ready()
	}
	gate.Close()
	for i, cmd := range cmds {
		err := cmd.Wait()
		all[i] = result{who[i], strings.TrimSpace(outs[i].String()), strings.TrimSpace(errs[i].String()), err}
	}
	return all
}

// one runs a single client that must succeed.
func (p *profile) one(who string) result {
	p.t.Helper()
	r := p.race(nil, who)[0]
	if r.err != nil {
		p.t.Fatalf("%s: %v %s", who, r.err, r.errs)
	}
	return r
}

func ours(r credtest.Record) bool { return strings.HasPrefix(r.UserAgent, "evercred/") }

// again finds a request of evercred's with a token that evercred had sent, and
// seen answered, before.
func again(log []credtest.Record) (found []string) {
	answered := map[string]bool{}
	for _, r := range log {
		if !ours(r) {
			continue
		}
		if answered[r.Refresh] {
			found = append(found, fmt.Sprintf("request %d sends %s again", r.N, r.Refresh))
		}
		// The log is in the order of arrival, and evercred's own requests do not
		// overlap: its guard sees to that.
		answered[r.Refresh] = answered[r.Refresh] || r.Complete && r.Status == 200
	}
	return found
}

// TestPeers: 8 SDK clients and 8 evercred processes on one expired profile.
func TestPeers(t *testing.T) {
	p := newProfile(t)
	var who []string
	for range 8 {
		who = append(who, "sdk", "evercred")
	}
	for round := range 3 {
		if round > 0 {
			p.expire()
		}
		before := p.ep.Requests()
		for _, r := range p.race(nil, who...) {
			if r.err != nil {
				t.Errorf("round %d: %s: %v %s", round, r.who, r.err, r.errs)
			}
			_, c := p.stored()
			if r.who == "evercred" && r.out != c.Access.Fingerprint() {
				t.Errorf("round %d: evercred got %s, stored is %s", round, r.out, c.Access.Fingerprint())
			}
		}
		p.alive()
		log := p.ep.Audit()[before:]
		mine := 0
		for _, r := range log {
			if ours(r) {
				mine++
			}
		}
		if mine > 1 {
			t.Errorf("round %d: %d requests of evercred's", round, mine)
		}
		t.Logf("round %d: %d requests, %d of them evercred's", round, len(log), mine)
	}
	if found := again(p.ep.Audit()); found != nil {
		t.Error(found)
	}
}

func TestEvercredAdoptsWhatTheSDKSaved(t *testing.T) {
	p := newProfile(t)
	p.one("sdk")
	p.alive()
	_, c := p.stored()
	if got := p.one("evercred").out; got != c.Access.Fingerprint() {
		t.Errorf("evercred got %s, stored is %s", got, c.Access.Fingerprint())
	}
	if log := p.ep.Audit(); len(log) != 1 || ours(log[0]) {
		t.Errorf("requests %+v", log)
	}
	// And it goes on from there, though the SDK dropped members.
	p.expire()
	p.one("evercred")
	p.alive()
	if log := p.ep.Audit(); len(log) != 2 || !ours(log[1]) || log[1].Refresh != c.Refresh.Fingerprint() {
		t.Errorf("requests %+v", log)
	}
}

func TestTheSDKReadsWhatEvercredSaved(t *testing.T) {
	p := newProfile(t)
	got := p.one("evercred").out
	p.alive()
	doc, c := p.stored()
	if !bytes.Contains(doc, []byte(neighbours)) || c.Access.Fingerprint() != got {
		t.Errorf("neighbours changed, or %s is not stored:\n%s", got, doc)
	}
	p.one("sdk")
	if log := p.ep.Audit(); len(log) != 1 || !ours(log[0]) {
		t.Errorf("requests %+v", log)
	}
	calls := p.ep.Calls()
	if len(calls) != 1 || calls[0].Status != 200 || calls[0].Header.Get("Authorization") != "Bearer "+got || calls[0].Header.Get("Anthropic-Beta") != anthropic.OAuthBeta {
		t.Errorf("calls %+v", calls)
	}
	p.expire()
	p.one("sdk")
	p.alive()
	if log := p.ep.Audit(); len(log) != 2 || ours(log[1]) || log[1].Refresh != c.Refresh.Fingerprint() {
		t.Errorf("requests %+v", log)
	}
}

// The SDK refuses what evercred refuses.
func TestBothRefuseASharedFile(t *testing.T) {
	p := newProfile(t)
	if err := os.Chmod(p.path, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.race(nil, "sdk", "evercred") {
		if r.err == nil || !strings.Contains(r.errs, "chmod 600") {
			t.Errorf("%s: %v %s", r.who, r.err, r.errs)
		}
	}
	if n := p.ep.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// The oracles can fail: an evercred whose looks show an older copy, which only
// the SDK knows to be spent, is found out by the one, and by the other once the
// log says that both requests were evercred's.
func TestTheOraclesCanFail(t *testing.T) {
	p := newProfile(t)
	r := p.race(func() { p.one("sdk"); p.expire() }, "blind")[0]
	if r.err == nil || !strings.Contains(r.errs, "the file held") {
		t.Errorf("%v %q", r.err, r.errs)
	}
	log := p.ep.Audit()
	if found := again(log); found != nil {
		t.Error(found)
	}
	for i := range log {
		log[i].UserAgent = "evercred/test"
	}
	if again(log) == nil {
		t.Errorf("not found in %+v", log)
	}
}
