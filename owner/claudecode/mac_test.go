//go:build unix

package claudecode_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/claudecode"
)

// mac is a login in a keychain, by the rules of macOS (INTEROP §1, §7). No test
// of this file has run on a Mac.
type mac struct {
	*credtest.Security
	t       *testing.T
	ep      *credtest.Endpoint
	first   credtest.Login
	dir     string
	service string
	times   timing.Protocol
	foreign []string
}

const macUser = "jo.doe"

// newMac lays an item whose access token ends in left.
func newMac(t *testing.T, left time.Duration, b credtest.Behaviour) *mac {
	t.Helper()
	m := &mac{t: t, Security: credtest.NewSecurity(t), dir: filepath.Join(t.TempDir(), "claude"), times: timing.Default()}
	m.ep = credtest.NewEndpoint(t, &credtest.EndpointOptions{Behaviour: b})
	m.first = m.ep.LoginFor(claudecode.ClientID)
	m.service = fmt.Sprintf("Claude Code-credentials-%x", sha256.Sum256([]byte(m.dir)))[:len("Claude Code-credentials-")+8]
	m.foreign = []string{`"mcpOAuth": {"srv": {"refreshToken": "neighbour-secret", "n": 1.50}}`, `"x\u00e9":[ 1,2 ]`, `"subscriptionType":"max"`}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.write(m.document(left))
	t.Cleanup(m.check)
	return m
}

func (m *mac) document(left time.Duration) []byte {
	return document(m.first.Access, m.first.Refresh, time.Now().Add(left), m.foreign)
}

func (m *mac) write(doc []byte) { m.Set(m.service, macUser, doc) }

func (m *mac) item() []byte { return m.Get(m.service, macUser) }

func (m *mac) file() string { return filepath.Join(m.dir, ".credentials.json") }

func (m *mac) writeFile(doc []byte) {
	m.t.Helper()
	if err := os.WriteFile(m.file(), doc, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mac) stored() evercred.Credential {
	m.t.Helper()
	c, err := claudecode.Codec{}.Decode(m.item())
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// brief makes calls of the program time out soon.
func (m *mac) brief() {
	m.times.KeychainCall, m.times.KeychainEnd = 500*time.Millisecond, 500*time.Millisecond
}

func (m *mac) open(change ...func(*claudecode.Options)) *evercred.Source {
	m.t.Helper()
	o := &claudecode.Options{
		ConfigDir: m.dir, TokenURL: m.ep.URL(),
		LookupEnv: func(name string) (string, bool) {
			v, ok := map[string]string{"USER": macUser, "HOME": m.dir}[name]
			return v, ok
		},
	}
	o.Seams = &seam.Seams{System: "darwin", Security: m.Path(), Times: &m.times}
	for _, c := range change {
		c(o)
	}
	s, err := claudecode.Open(o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { s.Close() })
	return s
}

func (m *mac) command(point crash.Point) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	// The race detector would hold each child up for a second at its end.
	cmd.Env = append(credtest.Env(m.t), "GORACE=atexit_sleep_ms=0", "USER="+macUser, childVar+"=token", dirVar+"="+m.dir, urlVar+"="+m.ep.URL(), pointVar+"="+string(point), toolVar+"="+m.Path())
	return cmd
}

func (m *mac) child(point crash.Point) result {
	m.t.Helper()
	return run(m.command(point))
}

// attempts are the files of the open ones.
func (m *mac) attempts() []string {
	m.t.Helper()
	open, err := filepath.Glob(filepath.Join(m.dir, ".evercred", "*", "*.open"))
	if err != nil {
		m.t.Fatal(err)
	}
	return open
}

func (m *mac) grants(want int) {
	m.t.Helper()
	if got := m.ep.Grants(); got != want {
		m.t.Errorf("%d grants, want %d", got, want)
	}
}

// check is the oracle after every test: foreign bytes are the same, and no
// secret is on disk in clear, or was seen by other processes.
func (m *mac) check() {
	m.t.Helper()
	doc := m.item()
	for _, f := range m.foreign {
		if doc != nil && !bytes.Contains(doc, []byte(f)) {
			m.t.Errorf("foreign bytes changed: %s is gone", f)
		}
	}
	filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, filepath.Base(m.file())) { // a file is in clear, and so is its escrow
			return err
		}
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("sk-ant-o")) || bytes.Contains(b, []byte("access_token")) {
			m.t.Errorf("a secret is in clear in %s", path)
		}
		return nil
	})
	for _, c := range m.Calls() {
		if all := fmt.Sprint(c.Args, c.Env); strings.Contains(all, "sk-ant-") || strings.Contains(all, childVar) {
			m.t.Errorf("seen by other processes: %.300s", all)
		}
	}
}

func wantReason(t *testing.T, err, kind error, reason evercred.Reason) {
	t.Helper()
	var e *evercred.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || e.Reason != reason {
		t.Errorf("%v, want %q with reason %s", err, kind, reason)
	}
}

func TestMacRefreshes(t *testing.T) {
	m := newMac(t, -time.Minute, credtest.Behaviour{})
	m.writeFile([]byte("{}")) // a stale file never beats the item
	tok, err := m.open().Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := m.stored(); c.Access.Reveal() != tok.Reveal() || c.Refresh.Reveal() != m.ep.Newest(m.first.ID) {
		t.Error("the successor is not in the item")
	}
	if b, _ := os.ReadFile(m.file()); string(b) != "{}" {
		t.Errorf("the file was written: %q", b)
	}
	m.grants(1)
	if open := m.attempts(); len(open) > 0 {
		t.Errorf("%v", open)
	}
	if again := m.child(""); again.token != tok.Reveal() {
		t.Errorf("another process: %s", again.text)
	}
	m.grants(1)
	for _, c := range m.Calls() {
		if strings.Contains(strings.Join(c.Args, " "), " -X ") {
			t.Error("the document was an argument")
		}
	}
}

// R1: many processes, one grant.
func TestMacR1OneGrant(t *testing.T) {
	m := newMac(t, -time.Minute, credtest.Behaviour{})
	var group sync.WaitGroup
	results := make([]result, 6)
	for i := range results {
		cmd := m.command("")
		group.Go(func() { results[i] = run(cmd) })
	}
	group.Wait()
	for _, r := range results {
		if r.token != m.stored().Access.Reveal() {
			t.Errorf("%+v", r)
		}
	}
	m.grants(1)
}

// The file is for macOS what it is elsewhere, while there is no item.
func TestMacFileWithoutAnItem(t *testing.T) {
	m := newMac(t, -time.Minute, credtest.Behaviour{})
	doc := m.document(-time.Minute)
	m.write(nil)
	m.writeFile(doc)
	tok, err := m.open().Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(m.file())
	if c, err := (claudecode.Codec{}).Decode(b); err != nil || c.Access.Reveal() != tok.Reveal() || m.item() != nil {
		t.Errorf("the file: %v, the item: %d bytes", err, len(m.item()))
	}
	m.grants(1)
	os.Remove(m.file())
	_, err = m.open().Token(t.Context())
	wantReason(t, err, evercred.ErrNotFound, evercred.ReasonNoFile)
}

// Locked, unknown and silent are errors; the file is not asked, and nothing is
// written or granted.
func TestMacAnUnreadableKeychainIsNoLogout(t *testing.T) {
	for name, c := range map[string]struct {
		b      credtest.SecurityBehaviour
		reason evercred.Reason
	}{
		"locked":  {credtest.SecurityBehaviour{Locked: true}, evercred.ReasonKeychainLocked},
		"unknown": {credtest.SecurityBehaviour{FindExit: 51}, evercred.ReasonKeychainFailed},
		"silent":  {credtest.SecurityBehaviour{Hang: true}, evercred.ReasonKeychainFailed},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMac(t, -time.Minute, credtest.Behaviour{})
			m.brief()
			other := m.ep.Login()
			m.writeFile(document(other.Access, other.Refresh, time.Now().Add(time.Hour), m.foreign))
			m.Behave(c.b)
			s := m.open()
			_, err := s.Token(t.Context())
			wantReason(t, err, evercred.ErrUnsafe, c.reason)
			if st, err := s.Status(t.Context()); err != nil || st.State != evercred.StateUnreadable {
				t.Errorf("status %v %v", st.State, err)
			}
			m.grants(0)
			m.Behave(credtest.SecurityBehaviour{})
			if tok, err := s.Token(t.Context()); err != nil || tok.Reveal() != m.stored().Access.Reveal() {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A keychain that locks itself while the token is good: it is served.
func TestMacLockedLaterIsServed(t *testing.T) {
	m := newMac(t, time.Hour, credtest.Behaviour{})
	s := m.open(func(o *claudecode.Options) { o.Probe = time.Millisecond })
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.times.KeychainProbe = 1
	m.Behave(credtest.SecurityBehaviour{Locked: true})
	for range 20 {
		if tok, err := s.Token(t.Context()); err != nil || tok.Reveal() != m.first.Access {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // lets the probe be due, which may or may not run
	}
}

// Above the gate nothing is spent: served while valid, then exit 7 with both
// remedies; with AllowArgv it is refreshed.
func TestMacGate(t *testing.T) { // INTEROP §7
	m := newMac(t, 5*time.Minute, credtest.Behaviour{})
	m.foreign = append(m.foreign[:2:2], m.foreign[2]+`, "pad": "`+strings.Repeat("p", 3000)+`"`)
	m.write(m.document(5 * time.Minute))
	if tok, err := m.open().Token(t.Context()); err != nil || tok.Reveal() != m.first.Access {
		t.Errorf("while it is valid: %v", err)
	}
	m.write(m.document(-time.Minute))
	_, err := m.open().Token(t.Context())
	wantReason(t, err, evercred.ErrUnsafe, evercred.ReasonKeychainSize)
	if text := fmt.Sprint(err); !strings.Contains(text, "--refresh owner") || !strings.Contains(text, "--allow-argv") {
		t.Error(text)
	}
	m.grants(0)
	if len(m.attempts()) > 0 {
		t.Errorf("%v", m.attempts())
	}
	tok, err := m.open(func(o *claudecode.Options) { o.AllowArgv = true }).Token(t.Context())
	if err != nil || m.stored().Access.Reveal() != tok.Reveal() {
		t.Errorf("with AllowArgv: %v", err)
	}
	m.grants(1)
	shown := 0
	for _, c := range m.Calls() {
		if strings.Contains(strings.Join(c.Args, " "), " -X ") {
			shown++
		}
	}
	if shown != 1 {
		t.Errorf("%d writes by argument", shown)
	}
}

// Without a place for the key of the escrow nothing is spent.
func TestMacNoKeyNoGrant(t *testing.T) {
	m := newMac(t, -time.Minute, credtest.Behaviour{})
	m.Behave(credtest.SecurityBehaviour{LoseAdds: true, OnlyService: "evercred-escrow"})
	_, err := m.open().Token(t.Context())
	wantReason(t, err, evercred.ErrUnsafe, evercred.ReasonKeychainFailed)
	m.grants(0)
}

// A save that fails after the grant: the token is served from memory, the
// successor is in the sealed escrow, and the next process saves it.
func TestMacF4TheSaveFails(t *testing.T) {
	m := newMac(t, -time.Minute, credtest.Behaviour{})
	m.times.SaveRetryMin = time.Hour
	m.Behave(credtest.SecurityBehaviour{LoseAdds: true, OnlyService: m.service})
	r, err := m.open().Refresh(t.Context(), false)
	if err != nil || !r.Unsaved {
		t.Fatalf("%+v %v", r, err)
	}
	wantReason(t, r.Err, evercred.ErrUnsafe, evercred.ReasonCannotSave)
	if len(m.attempts()) != 1 {
		t.Errorf("%v", m.attempts())
	}
	m.check() // not in clear, while it stands
	m.Behave(credtest.SecurityBehaviour{})
	if next := m.child(""); next.token != r.Token.Reveal() || m.stored().Access.Reveal() != next.token {
		t.Errorf("not recovered: %s", next.text)
	}
	m.grants(1)
}

// R7, R-K for the keychain: killed at each point, a second process gets the token.
func TestMacR7KilledAtEachPoint(t *testing.T) {
	for _, point := range crash.Points() {
		t.Run(string(point), func(t *testing.T) {
			m := newMac(t, -time.Minute, credtest.Behaviour{AfterCommit: 20 * time.Millisecond})
			if first := m.child(point); !first.killed {
				t.Fatalf("not killed: %+v", first)
			}
			if point == crash.AfterSend {
				awaitCommit(t, &login{ep: m.ep})
			}
			m.check()
			second := m.child("")
			switch {
			case second.token != "":
				if second.token != m.stored().Access.Reveal() {
					t.Error("the token is not the stored one")
				}
			case point == crash.AfterSend && second.reason == "lost-answer":
				return // the endpoint has no retry window
			default:
				t.Fatalf("no token: %s", second.text)
			}
			m.grants(1)
			if open := m.attempts(); len(open) > 0 {
				t.Errorf("%v", open)
			}
		})
	}
}

// R22 for both places: blanked by the owner, and recovered from the escrow of
// the place where the login is, by a process that has not looked before.
func TestMacR22Blanked(t *testing.T) {
	for _, place := range []string{"item", "file"} {
		t.Run(place, func(t *testing.T) {
			m := newMac(t, -time.Minute, credtest.Behaviour{})
			doc := m.document(-time.Minute)
			write := m.write
			if place == "file" {
				m.write(nil)
				m.writeFile(doc)
				write = m.writeFile
			}
			if first := m.child(crash.AfterAnswer); !first.killed {
				t.Fatalf("%+v", first)
			}
			blank := bytes.ReplaceAll(doc, []byte(`"`+m.first.Access+`"`), []byte(`""`))
			blank = bytes.ReplaceAll(blank, []byte(`"`+m.first.Refresh+`"`), []byte(`""`))
			write(blank)
			if place == "item" { // that the key cannot be had now is no verdict
				m.Behave(credtest.SecurityBehaviour{Locked: true, OnlyService: "evercred-escrow"})
				_, err := m.open().Token(t.Context())
				wantReason(t, err, evercred.ErrUnsafe, evercred.ReasonKeychainLocked)
				m.Behave(credtest.SecurityBehaviour{})
			}
			second := m.child("")
			if second.token == "" {
				t.Fatalf("not recovered: %s", second.text)
			}
			m.grants(1)
			if open := m.attempts(); len(open) > 0 {
				t.Errorf("%v", open)
			}
		})
	}
}

// The key of the escrow is lost with an answer in it: its fate is unknown. Where
// the endpoint has a retry window, nothing is lost; where it has none, that is
// said. Looking changes nothing.
func TestMacTheKeyIsLost(t *testing.T) {
	for name, profile := range map[string]credtest.Profile{"strict": credtest.Strict(), "window": credtest.Idempotent(time.Minute)} {
		for _, lost := range []string{"", "v1:" + strings.Repeat("0a", 32), "nonsense"} {
			t.Run(fmt.Sprintf("%s/%.6s", name, lost), func(t *testing.T) {
				m := newMac(t, -time.Minute, credtest.Behaviour{Profile: profile})
				if first := m.child(crash.AfterAnswer); !first.killed {
					t.Fatalf("%+v", first)
				}
				attempts := m.attempts()
				if len(attempts) != 1 {
					t.Fatal(attempts)
				}
				before, _ := os.ReadFile(attempts[0])
				account := filepath.Base(filepath.Dir(attempts[0]))
				key := m.Get("evercred-escrow", account)
				if key == nil {
					t.Fatal("there is no key")
				}
				var other []byte
				if lost != "" {
					other = []byte(lost)
				}
				m.Set("evercred-escrow", account, other)
				if _, err := m.open().Status(t.Context()); err != nil {
					t.Error(err)
				}
				if after, _ := os.ReadFile(attempts[0]); !bytes.Equal(before, after) {
					t.Error("looking changed the attempt")
				}
				second := m.child("")
				switch {
				case lost == "nonsense": // and so there can be no key for another grant
					if second.reason != string(evercred.ReasonKeychainFailed) || len(m.attempts()) != 1 {
						t.Errorf("%s", second.text)
					}
					m.Set("evercred-escrow", account, key) // it is found again
					if third := m.child(""); third.token == "" {
						t.Errorf("%s", third.text)
					}
				case name == "window":
					if second.token == "" {
						t.Errorf("%s", second.text)
					}
				default:
					if second.reason != string(evercred.ReasonLostAnswer) {
						t.Errorf("%s", second.text)
					}
				}
			})
		}
	}
}

// R5, R6: a logout and another login during the grant.
func TestMacR5R6DuringTheGrant(t *testing.T) {
	for _, what := range []string{"logout", "login"} {
		t.Run(what, func(t *testing.T) {
			m := newMac(t, -time.Minute, credtest.Behaviour{})
			hold, release := credtest.Hang(credtest.Committed)
			m.ep.Queue(hold)
			s := m.open()
			done := make(chan error, 1)
			var tok evercred.Token
			go func() {
				var err error
				tok, err = s.Token(context.Background())
				done <- err
			}()
			err := m.ep.Await(t.Context(), func(log []credtest.Record) bool { return len(log) > 0 })
			if err != nil {
				t.Fatal(err)
			}
			other := m.ep.Login()
			if what == "logout" {
				m.write(nil)
			} else {
				m.write(document(other.Access, other.Refresh, time.Now().Add(time.Hour), m.foreign))
			}
			release()
			err = <-done
			switch what {
			case "logout":
				if !errors.Is(err, evercred.ErrNotFound) || m.item() != nil {
					t.Errorf("%v; the item has %d bytes", err, len(m.item()))
				}
			case "login":
				if err != nil || tok.Reveal() != other.Access || m.stored().Access.Reveal() != other.Access {
					t.Errorf("%v", err)
				}
			}
			if open := m.attempts(); len(open) > 0 {
				t.Errorf("%v", open)
			}
		})
	}
}

// The login moves from the file into the keychain while the file's is refreshed:
// the item is another login, and the file is not written.
func TestMacTheItemAppears(t *testing.T) {
	m := newMac(t, -time.Minute, credtest.Behaviour{})
	doc := m.document(-time.Minute)
	m.write(nil)
	m.writeFile(doc)
	hold, release := credtest.Hang(credtest.Committed)
	m.ep.Queue(hold)
	s := m.open()
	done := make(chan error, 1)
	var tok evercred.Token
	go func() {
		var err error
		tok, err = s.Token(context.Background())
		done <- err
	}()
	if err := m.ep.Await(t.Context(), func(log []credtest.Record) bool { return len(log) > 0 }); err != nil {
		t.Fatal(err)
	}
	other := m.ep.Login()
	m.write(document(other.Access, other.Refresh, time.Now().Add(time.Hour), m.foreign))
	release()
	if err := <-done; err != nil || tok.Reveal() != other.Access {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(m.file()); !bytes.Equal(b, doc) {
		t.Error("the file was written")
	}
}

// A program that asks all the time starts no process for it (INTEROP §7), and
// sees what another process of ours saved long before 30 s have passed.
func TestMacProbes(t *testing.T) {
	m := newMac(t, time.Hour, credtest.Behaviour{})
	s := m.open(func(o *claudecode.Options) { o.Probe = time.Millisecond })
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := len(m.Calls())
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.Calls()) - calls; n > 0 {
		t.Errorf("%d processes in a moment", n)
	}
	if _, err := m.open().Refresh(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	want := m.stored().Access.Reveal()
	for end := time.Now().Add(20 * time.Second); ; {
		tok, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tok.Reveal() == want {
			break
		}
		if time.Now().After(end) {
			t.Fatal("what another process saved is not seen")
		}
	}
	m.grants(1)
}
