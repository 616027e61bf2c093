package claudecode_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/claudecode"
)

// npm behaves like the owner (INTEROP §3): two directory locks of
// proper-lockfile around look, grant and save.
type npm struct {
	l    *login
	held []string
}

// lock takes both locks, as one try.
func (n *npm) lock() bool {
	for _, path := range []string{filepath.Join(n.l.dir, ".oauth_refresh.lock"), n.l.dir + ".lock"} {
		if err := os.Mkdir(path, 0o755); err != nil {
			n.unlock()
			return false
		}
		n.held = append(n.held, path)
	}
	return true
}

// unlock is the owner's: unchecked.
func (n *npm) unlock() {
	for i := len(n.held) - 1; i >= 0; i-- {
		os.Remove(n.held[i])
	}
	n.held = nil
}

func (n *npm) beat() {
	for _, path := range n.held {
		os.Chtimes(path, time.Now(), time.Now())
	}
}

// refreshed is a grant of the owner's, saved as the owner saves.
func (n *npm) refreshed(access, refresh string) {
	n.l.id = 0 // not issued by our endpoint
	n.l.write(document(access, refresh, time.Now().Add(8*time.Hour), n.l.foreign))
}

// refresh is what the owner does with an expired login: both locks, look again,
// grant, save, unlock; or adopt what it finds (INTEROP §3).
func (n *npm) refresh(t *testing.T) {
	for !n.lock() {
		if time.Until(n.l.stored().Expires) > 0 {
			return
		}
		runtime.Gosched()
	}
	defer n.unlock()
	c := n.l.stored()
	if time.Until(c.Expires) > 0 {
		return
	}
	body := fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q,"client_id":%q}`, c.Refresh.Reveal(), claudecode.ClientID)
	resp, err := http.Post(n.l.ep.URL(), "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 200 {
		t.Errorf("the owner's grant: %d %v", resp.StatusCode, err)
		return
	}
	tmp := n.l.path() + ".owner"
	os.WriteFile(tmp, document(answer.Access, answer.Refresh, time.Now().Add(8*time.Hour), n.l.foreign), 0o600)
	if err := os.Rename(tmp, n.l.path()); err != nil {
		t.Error(err)
	}
}

// scaled runs the protocol faster, every time by the same factor.
func scaled(f int) func(*claudecode.Options) {
	t := timing.Default()
	for _, d := range []*time.Duration{&t.StaleAge, &t.StaleAgeWrite, &t.Watch, &t.WatchBlind} {
		*d /= time.Duration(f)
	}
	return func(o *claudecode.Options) { o.Seams = &seam.Seams{Times: &t} }
}

// R2: the owner refreshes while we wait for its lock; L1: its lock beats.
func TestR2AdoptWhileTheOwnerHoldsItsLocks(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	n := &npm{l: l}
	if !n.lock() {
		t.Fatal("no lock")
	}
	type got struct {
		tok evercred.Token
		err error
	}
	src := l.open()
	done := make(chan got)
	go func() {
		tok, err := src.Token(context.Background())
		done <- got{tok, err}
	}()
	select {
	case g := <-done:
		t.Fatalf("did not wait: %v", g.err)
	case <-time.After(300 * time.Millisecond): // it is waiting; nothing depends on for how long
	}
	n.refreshed("sk-ant-oat01-owner", "sk-ant-ort01-owner")
	g := <-done
	if g.err != nil || g.tok.Reveal() != "sk-ant-oat01-owner" {
		t.Errorf("%v", g.err)
	}
	n.unlock()
	if n := l.ep.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// L1: a lock whose holder is alive: bounded wait, then exit 6's error; the lock
// is untouched. A valid token is served at once.
func TestL1AnOwnersLivingLockIsRespected(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	n := &npm{l: l}
	n.lock()
	defer n.unlock()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				n.beat()
			case <-ctx.Done():
				return
			}
		}
	})
	src := l.open(scaled(100), func(o *claudecode.Options) { o.RefreshTimeout = time.Second })
	_, err := src.Token(t.Context())
	if !errors.Is(err, evercred.ErrLocked) {
		t.Errorf("%v", err)
	}
	stop()
	wg.Wait()
	if _, err := os.Stat(n.held[0]); err != nil {
		t.Errorf("the owner's lock: %v", err)
	}
	l.grants(0)

	valid := newLogin(t, 5*time.Minute, credtest.Behaviour{})
	v := &npm{l: valid}
	v.lock()
	defer v.unlock()
	began := time.Now()
	if _, err := valid.open().Token(t.Context()); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("waited %v for a lock with a valid token in hand", d)
	}
}

// L2: a lock that a killed owner left: taken over by age and watching.
func TestL2ADeadOwnersLockIsTakenOver(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	(&npm{l: l}).lock()
	src := l.open(scaled(50))
	tok, err := src.Token(t.Context())
	if err != nil || tok.IsZero() {
		t.Fatal(err)
	}
	l.grants(1)
	// l.check finds the locks gone.
}

// L6: the first lock cannot be made: no grant. The second alone: go on.
func TestL6LocksThatCannotBeMade(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	first := filepath.Join(l.dir, ".oauth_refresh.lock")
	os.WriteFile(first, nil, 0o600)
	if _, err := l.open().Token(t.Context()); !errors.Is(err, evercred.ErrUnsafe) {
		t.Errorf("a file in the first lock's place: %v", err)
	}
	l.grants(0)
	os.Remove(first)
	os.WriteFile(l.dir+".lock", nil, 0o600)
	if _, err := l.open().Token(t.Context()); err != nil {
		t.Errorf("a file in the second lock's place: %v", err)
	}
	l.grants(1)
	os.Remove(l.dir + ".lock")

	valid := newLogin(t, 5*time.Minute, credtest.Behaviour{})
	os.WriteFile(filepath.Join(valid.dir, ".oauth_refresh.lock"), nil, 0o600)
	if _, err := valid.open().Token(t.Context()); err != nil {
		t.Errorf("the valid token is not served: %v", err)
	}
	valid.grants(0)
	os.Remove(filepath.Join(valid.dir, ".oauth_refresh.lock"))
}

// L4: our lock is stolen while we hold it, after the send: the answer is saved.
func TestL4StolenAfterTheSend(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	l.ep.Behave(func(b *credtest.Behaviour) {
		b.Choose = func(credtest.Record) credtest.Fault {
			lock := filepath.Join(l.dir, ".oauth_refresh.lock")
			os.Remove(lock)
			os.Mkdir(lock, 0o755) // L5: this one is not ours, and must stay
			return credtest.Fault{}
		}
	})
	src := l.open()
	tok, err := src.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	src.Close()
	if l.stored().Access.Reveal() != tok.Reveal() {
		t.Error("the successor was not saved")
	}
	if err := os.Remove(filepath.Join(l.dir, ".oauth_refresh.lock")); err != nil {
		t.Errorf("L5: the thief's lock was removed: %v", err)
	}
}

// R1, R23: many real processes on one expired login, and owners that follow the
// lock protocol beside them: one grant, one token.
func TestR1OneGrantForManyProcesses(t *testing.T) {
	for _, owners := range []int{0, 2} {
		t.Run(fmt.Sprint(owners, " owners"), func(t *testing.T) { oneGrant(t, 12, owners) })
	}
}

func oneGrant(t *testing.T, processes, owners int) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{AfterCommit: 200 * time.Millisecond})
	results := make([]result, processes)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = l.child("") })
	}
	for range owners {
		wg.Go(func() { (&npm{l: l}).refresh(t) })
	}
	wg.Wait()
	stored := l.stored().Access.Reveal()
	for i, r := range results {
		if r.token != stored {
			t.Errorf("process %d: %q %s", i, r.token, r.text)
		}
	}
	l.grants(1)
	if n := l.ep.Requests(); n != 1 {
		t.Errorf("%d requests", n)
	}
	l.noOpenAttempts()
}

// F12, F2: one document behind links from two directories: one grant, both
// links stay.
func TestF12OneDocumentBehindTwoLinks(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{AfterCommit: 100 * time.Millisecond})
	var dirs []string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "other")
		os.Mkdir(dir, 0o700)
		if err := os.Symlink(l.path(), filepath.Join(dir, ".credentials.json")); err != nil {
			t.Skip(err)
		}
		dirs = append(dirs, dir)
	}
	var wg sync.WaitGroup
	for _, dir := range append(dirs, l.dir, dirs[0], dirs[1]) {
		src := l.open(func(o *claudecode.Options) { o.ConfigDir = dir })
		wg.Go(func() {
			if _, err := src.Token(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l.grants(1)
	for _, dir := range dirs {
		if i, err := os.Lstat(filepath.Join(dir, ".credentials.json")); err != nil || i.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link in %s is gone", dir)
		}
	}
}

// The token endpoint: S4, S7.
func TestS7ForeignTokenHosts(t *testing.T) {
	for url, reason := range map[string]evercred.Reason{
		"http://example.com/token":             evercred.ReasonHost,
		"https://evil.example/token":           evercred.ReasonHost,
		"https://platform.claude.com.evil/tok": evercred.ReasonHost,
	} {
		_, err := claudecode.Open(&claudecode.Options{ConfigDir: t.TempDir(), TokenURL: url})
		var e *evercred.Error
		if !errors.Is(err, evercred.ErrConfig) || !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, o := range []claudecode.Options{
		{TokenURL: "https://evil.example/token", AllowHosts: []string{"evil.example"}},
		{TokenURL: "https://PLATFORM.claude.com/v1/oauth/token"},
		{TokenURL: "http://[::1]:9/token"},
		{},
	} {
		o.ConfigDir = t.TempDir()
		if _, err := claudecode.Open(&o); err != nil {
			t.Errorf("%s: %v", o.TokenURL, err)
		}
	}
}

// What the endpoint sees of us: our own name, the login's client, no scope.
func TestTheRequestIsHonest(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	if _, err := l.open().Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := l.ep.Audit()[0]
	if len(r.UserAgent) < 8 || r.UserAgent[:8] != "evercred" {
		t.Errorf("User-Agent %q", r.UserAgent)
	}
	if r.ClientID != claudecode.ClientID || r.Scope != "" || r.Beta != claudecode.OAuthBeta || r.Form != "json" {
		t.Errorf("%+v", r)
	}
	quiet := newLogin(t, -time.Minute, credtest.Behaviour{})
	if _, err := quiet.open(func(o *claudecode.Options) { o.NoBeta = true }).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := quiet.ep.Audit()[0].Beta; b != "" {
		t.Errorf("beta %q", b)
	}
}

// R21: an outage is not queued for: one caller tries, and what it learned sends
// the others away together.
func TestR21AnOutageIsAnsweredTogether(t *testing.T) {
	const callers = 40
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close() // connections are refused from now on
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		src := l.open(func(o *claudecode.Options) { o.TokenURL = "http://" + nobody.Addr().String() + "/" })
		wg.Go(func() {
			if _, err := src.Token(context.Background()); !errors.Is(err, evercred.ErrUnavailable) {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	// One after the other they would need the tries of the first forty times over.
	if d := time.Since(began); d > callers*time.Second/2 {
		t.Errorf("the last one had its answer after %v", d)
	}
}
