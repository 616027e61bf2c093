package crashes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/owner/claudecode"
)

// crash is one world that a crash left, and what may be excused in it.
type crash struct {
	world
	name string
	// sent: the request of the killed process reached the endpoint. excusable: the
	// answer to it need not be on disk. safe: it must be.
	sent, excusable bool
	power, always   bool
	depth           int // 1: nothing had crashed before
	build           func() world
}

func (c crash) safe() bool { return c.sent && !c.excusable }

// findings are what came of a crash.
type findings struct {
	outcome string
	wrong   []string
	next    *journal // what the next process did
}

func (f *findings) add(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// aftermath lets the next processes come, and asks the oracle.
func (s scene) aftermath(c crash, at place) (f findings) {
	m := start(c.world, at, s.how)
	defer m.close()
	if why := m.document(s.inPlace); why != "" {
		if !s.inPlace {
			f.add("right after the crash: %s", why)
		}
	}
	time.Sleep(time.Second)
	asked, reused := m.server.Requests(), m.server.Reuses()
	if stored, _ := m.stored(); s.after == "blank" && stored.Refresh.Reveal() != m.first.Refresh {
		s.after = "" // it is saved already: no loser finds the spent token there
	}
	m.owner(s.after)
	p, r, err := m.patiently(false)
	f.next = &p.log
	asked, reused = m.server.Requests()-asked, m.server.Reuses()-reused
	if reused > 0 && !c.excusable {
		f.add("a refresh token was sent again whose answer must have been in the ledger")
	}
	if c.safe() && asked > 0 && (s.after == "" || s.after == "blank") {
		f.add("asked again, %d times, although the answer must have been in the ledger", asked)
	}
	switch s.after {
	case "logout":
		f.outcome = m.loggedOut(&f, err)
	case "login":
		f.outcome = m.otherLogin(&f, asked, r, err)
	default:
		f.outcome = m.recovered(&f, s, c, asked, r, err)
	}
	m.oneMore(&f, s)
	return f
}

// owner does what a user does meanwhile.
func (m *machine) owner(does string) {
	switch does {
	case "logout":
		m.disk.remove(m.place.path())
	case "login":
		m.disk.put(m.place.path(), m.place.document(m.second.Access, m.second.Refresh, time.Now().Add(8*time.Hour)), time.Now())
	case "blank":
		m.blank()
	}
}

func (m *machine) stored() (evercred.Credential, error) {
	n := m.disk.at(m.place.path())
	if n == nil {
		return evercred.Credential{}, fs.ErrNotExist
	}
	return claudecode.Codec{}.Decode(n.data)
}

// document says what is wrong with the file.
func (m *machine) document(inPlace bool) string {
	n := m.disk.at(m.place.path())
	if n == nil {
		return "the document is gone"
	}
	if _, err := m.stored(); err != nil {
		return "the document does not parse: " + err.Error()
	}
	if n.mode.Perm() != 0o600 {
		return fmt.Sprintf("the document has mode %v", n.mode)
	}
	return m.place.foreign(n.data, inPlace)
}

// recovered judges the ordinary case: the next process wants a token.
func (m *machine) recovered(f *findings, s scene, c crash, asked int, r evercred.Refreshed, err error) string {
	stored, serr := m.stored()
	behind := func() bool { return serr != nil || !m.server.Alive(stored.Refresh.Reveal()) }
	late := s.inPlace && err == nil && behind()
	for n := 0; late && behind() && n < patience; n++ {
		// The new token is served from the redo record at once; the file is mended
		// when a dead process's lock on it has grown old.
		time.Sleep(20 * time.Second)
		_, _, err = m.patiently(false)
		stored, serr = m.stored()
	}
	if serr != nil {
		f.add("torn and not mended: %v (the next process: %v)", serr, err)
		return "torn"
	}
	if m.server.Alive(stored.Refresh.Reveal()) {
		if newest := m.server.Committed(m.first.ID); newest != stored.Refresh.Reveal() {
			f.add("the store holds an older refresh token than the endpoint issued")
		}
		if err != nil {
			f.add("stuck: the login is good and the next processes got: %v", err)
			return "stuck"
		}
		m.settled(f, s, r)
		switch {
		case late:
			return "served from the redo record, mended when the lock was free"
		case asked > 0 && m.server.Reuses() > 0:
			return "recovered by a retry"
		case asked > 0:
			return "refreshed by the next process"
		case m.events[evercred.EventRecovered] > 0:
			return "recovered from the ledger"
		}
		return "had been saved"
	}
	if m.inLedger() && err == nil && s.left > 0 {
		return "still in the ledger, and a valid token is served"
	}
	// The login is dead, and the only excuse is the window.
	switch {
	case !c.excusable:
		f.add("lost outside the excusable window (the next process: %v)", err)
	case s.how.Profile != issuer.Strict():
		f.add("lost although the endpoint has a retry window: %v", err)
	}
	if s.after != "blank" {
		_, _, err = m.patiently(true)
		if why := (*evercred.Error)(nil); !errors.As(err, &why) || why.Reason != evercred.ReasonLostAnswer {
			f.add("lost, and not told so: %v", err)
		}
	}
	return "lost in the excusable window, and said so"
}

// settled: whoever comes next gets the same, and asks nobody.
func (m *machine) settled(f *findings, s scene, first evercred.Refreshed) {
	if time.Until(first.Token.Expires()) < time.Hour {
		return // served in the early window; the next one renews it
	}
	asked := m.server.Requests()
	r, err := m.process().refresh(false, 0)
	if err != nil || !r.Token.Equal(first.Token) {
		f.add("the third process got another token, or none: %v", err)
	}
	if m.server.Requests() != asked {
		f.add("the third process asked the endpoint again")
	}
}

// inLedger: an open attempt holds the newest refresh token that was issued.
func (m *machine) inLedger() (found bool) {
	newest := []byte(m.server.Committed(m.first.ID))
	m.disk.walk(func(path string, n *node) {
		found = found || strings.HasSuffix(path, ".open") && bytes.Contains(n.data, newest)
	})
	return found
}

func (m *machine) loggedOut(f *findings, err error) string {
	if !errors.Is(err, evercred.ErrNotFound) {
		f.add("logged out, and the next process got: %v", err)
	}
	if m.disk.at(m.place.path()) != nil {
		f.add("a login was revived that its user had ended")
	}
	m.disk.walk(func(path string, n *node) {
		if bytes.Contains(n.data, []byte("sk-ant-o")) && strings.Contains(path, ".evercred") {
			f.add("logged out, and a secret is left in %s", path)
		}
	})
	return "stays logged out"
}

func (m *machine) otherLogin(f *findings, asked int, r evercred.Refreshed, err error) string {
	if err != nil || r.Token.Reveal() != m.second.Access {
		f.add("another login was made, and the next process got another token or none: %v", err)
	}
	if stored, _ := m.stored(); stored.Refresh.Reveal() != m.second.Refresh {
		f.add("the new login was overwritten")
	}
	if asked > 0 {
		f.add("a request was made beside a fresh login")
	}
	return "the new login stays"
}

// oneMore is a refresh much later, after which nothing may be left over. Who has
// no login any more logs in again first.
func (m *machine) oneMore(f *findings, s scene) {
	time.Sleep(3 * time.Minute)
	if stored, err := m.stored(); err != nil || !m.server.Alive(stored.Refresh.Reveal()) && !m.inLedger() {
		m.owner("login")
	}
	_, r, err := m.patiently(true)
	if err != nil {
		f.add("a later refresh fails: %v", err)
		return
	}
	stored, err := m.stored()
	if err != nil || !m.server.Alive(stored.Refresh.Reveal()) || !stored.Access.Equal(evercred.NewSecret(r.Token.Reveal())) {
		f.add("after a later refresh the store does not hold a living login: %v", err)
	}
	if why := m.document(s.inPlace); why != "" {
		f.add("after a later refresh: %s", why)
	}
	m.disk.walk(func(path string, n *node) {
		name := path[strings.LastIndex(path, "/")+1:]
		if strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp-") || strings.HasPrefix(name, "lock-") {
			f.add("left over: %s", name)
		}
		if strings.HasSuffix(name, ".open") {
			f.add("an attempt is left open: %s", name)
		}
		if strings.Contains(path, ".evercred") && bytes.Contains(n.data, []byte("sk-ant-o")) {
			f.add("a secret is left in %s", name)
		}
	})
}
