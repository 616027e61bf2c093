package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/owner/claudecode"
)

// owner is the user at the owning program, and who else writes the file.
func (w *world) owner(r *rand.Rand) {
	_, write := claudecode.LockPaths(w.file(""))
	for range 400 { // like us, it writes under the write lock
		if w.disk.names[write] == nil {
			break
		}
		time.Sleep(w.between(r, 20*time.Millisecond, 60*time.Millisecond))
	}
	w.act(r)
}

func (w *world) act(r *rand.Rand) {
	before := w.document()
	switch r.IntN(6) {
	case 0:
		w.saw("the user logs out")
		w.say("owner", "logs out")
		w.oracle.user = userOut
		w.put(nil)
		return
	case 1:
		w.saw("the user logs in")
		w.say("owner", "logs in")
		w.logIn(w.lifetime)
	case 2:
		if before != nil {
			w.saw("the login is blanked")
			w.say("owner", "blanks")
			w.blank()
		}
	case 3, 4:
		if w.older == nil {
			w.older = before
			return
		}
		if before != nil {
			w.saw("a backup brings an older copy")
			w.say("owner", "restores")
			w.oracle.tampered = true
			w.put(w.older)
		}
	default:
		if before != nil {
			w.saw("the file is rewritten as it is")
			w.put(bytes.Clone(before))
		}
	}
}

// blank is what the owner does after invalid_grant. What was in the store alone
// is gone then, and that is not ours.
func (w *world) blank() {
	w.oracle.tampered = true
	w.put(stage.Document("", "", time.UnixMilli(0)))
}

// trick is something that happens to the machine.
func (w *world) trick(r *rand.Rand) {
	switch k := r.IntN(10); {
	case k < 2:
		d := pick(r, time.Minute, time.Hour, 26*time.Hour, 400*24*time.Hour)
		if r.IntN(2) == 0 {
			d = -d
		}
		w.saw("the clock jumps")
		w.say("machine", "jumps %v", d)
		w.machine.jump += d
		w.oracle.highest = max(w.oracle.highest, w.machine.jump)
		w.jumped()
	case k < 4:
		d := w.between(r, time.Second, pick(r, time.Minute, 9*time.Hour))
		w.saw("the machine sleeps")
		w.say("machine", "sleeps %v", d)
		w.machine.slept += d
		w.jumped()
	case k < 7:
		w.say("machine", "the disk is full")
		w.full = true
		time.Sleep(w.between(r, time.Second, pick(r, 30*time.Second, 10*time.Minute)))
		w.full = false
	default:
		if w.crashes == 0 {
			return
		}
		w.say("machine", "power cut")
		w.oracle.cuts = append(w.oracle.cuts, time.Now())
		for _, p := range w.processes {
			p.kill("the power is cut")
		}
		if w.memory == nil {
			w.disk.cut(r)
		}
		w.machine.boot += "+"
	}
}

// fault is what the endpoint does to one request.
func (w *world) fault(rec issuer.Record) issuer.Fault {
	r := rand.New(rand.NewPCG(w.seed, uint64(rec.N)<<48))
	if r.Float64() >= w.faults {
		return issuer.Fault{}
	}
	slow := func() time.Duration { return w.between(r, time.Second, pick(r, 10*time.Second, 45*time.Second)) }
	faults := []struct {
		name string
		f    issuer.Fault
	}{
		{"reset before the commit", issuer.ResetBefore()},
		{"reset after the commit", issuer.ResetAfter()},
		{"the answer is cut", issuer.CutAt(1+r.IntN(450), issuer.Close)},
		{"5xx before the commit", issuer.StatusBefore(503)},
		{"5xx after the commit", issuer.StatusAfter(502)},
		{"429", issuer.Limited(pick(r, "", "0", "120", "3600", "-5", "soon", "999999999999999", "Wed, 21 Oct 2099 07:28:00 GMT"))},
		{"a page for people", issuer.Page(pick(r, 200, 302, 403, 502), "Just a moment...")},
		{"a redirect", issuer.Redirect(307, "http://127.0.0.1/elsewhere")},
		{"garbage", issuer.Garbage(pick(r, "", "{", "null", `{"access_token":""}`, `{"access_token":"x","error":"no"}`))},
		{"slow", issuer.Slow(slow(), slow())},
		{"slow", issuer.Slow(0, slow())},
		{"a strange lifetime", issuer.Fault{Members: map[string]string{"expires_in": pick(r, "", "0", "-1", `"3600"`, "1e30", "null", "1.5", "315360000")}}},
		{"an unusable answer", issuer.Fault{Members: map[string]string{"token_type": `"mac"`}}},
		{"a long answer", issuer.Huge(pick(r, 3_000, 70_000))},
	}
	f := faults[r.IntN(len(faults))]
	w.saw(f.name)
	w.say("faults", "%d: %s", rec.N, f.name)
	if f.f.Members["token_type"] != "" {
		w.oracle.crippled = append(w.oracle.crippled, rec.N)
	}
	if f.f.Members["expires_in"] == "1.5" {
		w.oracle.fleeting = append(w.oracle.fleeting, rec.N)
	}
	return f.f
}

// foreign is a refresher that follows the owner's protocol (INTEROP §3), with
// its own mistakes: it takes a lock for dead by its age alone, and writes
// whatever it was answered.
func (w *world) foreign() {
	r := rand.New(rand.NewPCG(w.seed, 7<<50))
	for range 1 + r.IntN(4) {
		time.Sleep(w.between(r, 1, pick(r, 3*time.Second, time.Minute, w.lifetime/2)))
		w.foreignRefresh(r)
	}
}

func (w *world) foreignRefresh(r *rand.Rand) {
	refresh, write := claudecode.LockPaths(w.file(""))
	for i, path := range refresh {
		if !w.mkdir(r, path, i == 0) {
			for _, taken := range refresh[:i] {
				w.rmdir(taken)
			}
			return
		}
	}
	defer w.rmdir(refresh[0])
	defer w.rmdir(refresh[1])
	c, err := w.stored()
	if err != nil || c.Blanked || c.Expires.Sub(w.machine.Now()) > 5*time.Minute {
		return
	}
	w.saw("another program refreshes")
	sent := c.Refresh.Reveal()
	access, next, lifetime, refused := w.foreignGrant(sent)
	w.say("foreign", "sent %s got %s %t", c.Refresh.Fingerprint(), issuer.Fingerprint(next), refused)
	if access == "" && !refused || !w.mkdir(r, write, true) {
		w.oracle.foreignLoss = w.oracle.foreignLoss || !refused
		return
	}
	defer w.rmdir(write)
	time.Sleep(w.between(r, 1, 5*time.Millisecond))
	now, err := w.stored()
	switch {
	case err != nil || now.Refresh.Reveal() != sent:
		w.oracle.foreignLoss = true
	case refused:
		w.saw("the login is blanked")
		w.blank()
	default:
		if next == "" {
			next = sent
		}
		w.put(stage.Document(access, next, w.machine.Now().Add(lifetime)))
	}
}

// mkdir takes a lock as proper-lockfile does.
func (w *world) mkdir(r *rand.Rand, path string, patient bool) bool {
	for range 5 {
		n := w.disk.names[path]
		if n != nil && w.machine.Now().Sub(n.mtime) > time.Minute {
			w.say("foreign", "takes %s for dead", filepath.Base(path))
			w.oracle.stolen = true
			w.disk.remove(path)
			n = nil
		}
		if n == nil {
			w.disk.change(change{names: [2]string{path}, nodes: [2]*node{w.disk.node(true, 0o755)}})
			return true
		}
		if !patient {
			return false
		}
		time.Sleep(w.between(r, time.Second, 2*time.Second))
	}
	return false
}

// rmdir frees it, whoever's it is.
func (w *world) rmdir(path string) { w.disk.remove(path) }

func (w *world) foreignGrant(refresh string) (access, next string, lifetime time.Duration, refused bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := w.pipes.dial(ctx, "foreign")
	if err != nil {
		return "", "", 0, false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	body := fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q,"client_id":%q}`, refresh, claudecode.ClientID)
	if _, err := io.WriteString(conn, "POST "+issuer.TokenPath+" HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
		return "", "", 0, false
	}
	raw, err := io.ReadAll(conn)
	if err != nil {
		return "", "", 0, false
	}
	_, text, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	if i, j := bytes.IndexByte(text, '{'), bytes.LastIndexByte(text, '}'); i >= 0 && j > i {
		text = text[i : j+1]
	}
	var a struct {
		Access  string  `json:"access_token"`
		Refresh string  `json:"refresh_token"`
		Expires float64 `json:"expires_in"`
		Error   any     `json:"error"`
	}
	if json.Unmarshal(text, &a) != nil {
		return "", "", 0, false
	}
	return a.Access, a.Refresh, time.Duration(a.Expires) * time.Second, a.Error == "invalid_grant" && bytes.HasPrefix(raw, []byte("HTTP/1.1 "+strconv.Itoa(http.StatusBadRequest)))
}

// happened counts what our processes told.
func (w *world) happened(k evercred.EventKind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Counts[string(k)]++
}
