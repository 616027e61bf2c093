package cuts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// secure is what an endpoint with TLS needs; nil: clear text.
type secure struct {
	server *tls.Config
	roots  *x509.CertPool
}

// login is one login, its endpoint behind a network that breaks, and a Source.
type login struct {
	dir    string
	net    *network
	server *issuer.Server
	first  issuer.Login
	src    *evercred.Source

	mu     sync.Mutex
	events map[evercred.EventKind]int
}

// newLogin lays a login whose access token ends in left, in an empty directory.
func newLogin(dir string, left time.Duration, how issuer.Behaviour, n *network, s *secure) *login {
	l := &login{dir: dir, net: n, events: map[evercred.EventKind]int{}}
	opts := &issuer.Options{Seed: 1, Behaviour: how, Listener: n}
	cfg := grant.Config{ClientID: claudecode.ClientID, Proxy: func(*url.URL) (*url.URL, error) { return nil, nil }}
	if s != nil {
		opts.TLS, cfg.RootCAs = s.server, s.roots
	}
	l.server = issuer.New(opts)
	var err error
	if cfg.TokenURL, err = l.server.Start(); err != nil {
		panic(err)
	}
	l.first = l.server.LoginFor(claudecode.ClientID)
	if err := os.WriteFile(l.path(), stage.Document(l.first.Access, l.first.Refresh, time.Now().Add(left)), 0o600); err != nil {
		panic(err)
	}
	seams := &seam.Seams{FS: quick{}, Dial: n.dial}
	cfg.Seams = seams
	client, err := grant.New(cfg)
	if err != nil {
		panic(err)
	}
	store := filestore.New(l.path(), &filestore.Options{Seams: seams})
	l.src = evercred.New(store, claudecode.Codec{}, client, &evercred.Options{Seams: seams, Observe: l.observe})
	return l
}

func (l *login) close() {
	l.src.Close()
	l.server.Close()
}

func (l *login) path() string { return filepath.Join(l.dir, ".credentials.json") }

func (l *login) observe(e evercred.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[e.Kind]++
}

func (l *login) saw(k evercred.EventKind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events[k] > 0
}

// ask is one call.
func (l *login) ask() (evercred.Refreshed, error) { return l.src.Refresh(context.Background(), false) }

// stored is the document, understood; wrong: it is not as it must be.
func (l *login) stored() (c evercred.Credential, wrong string) {
	doc, err := os.ReadFile(l.path())
	if err == nil {
		c, err = claudecode.Codec{}.Decode(doc)
	}
	if err != nil {
		return c, err.Error()
	}
	return c, stage.Foreign(doc, false)
}

// memory is what every process would know now, and the open attempts.
func (l *login) memory() (m ledger.Memory, open int) {
	s := (&seam.Seams{FS: quick{}}).Filled()
	book := ledger.Open(l.dir, filepath.Base(l.path()), s)
	m, err := book.Memory()
	if err != nil {
		panic(err)
	}
	attempts, err := book.Attempts()
	if err != nil {
		panic(err)
	}
	return m, len(attempts)
}

// report collects what is wrong with one case.
type report struct{ wrong []string }

func (r *report) add(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *report) String() string { return strings.Join(r.wrong, "; ") }

func reason(err error) evercred.Reason {
	var e *evercred.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// good: a living token is served, it is what is stored, and nothing is open.
func (l *login) good(r *report, got evercred.Refreshed, err error) {
	stored, wrong := l.stored()
	if wrong != "" {
		r.add("%s", wrong)
	}
	if err != nil || got.Token.Reveal() != stored.Access.Reveal() {
		r.add("no token, or another than is stored: %v", err)
	}
	if now := l.server.Committed(l.first.ID); stored.Refresh.Reveal() != now || !l.server.Alive(now) {
		r.add("the store does not hold the living refresh token")
	}
	if m, open := l.memory(); open != 0 || m.Cooldown != nil || m.Dead != nil {
		r.add("after a grant %d attempts are open, cooldown %v, dead %v", open, m.Cooldown != nil, m.Dead != nil)
	}
}

// untouched: the store holds what was laid.
func (l *login) untouched(r *report) {
	stored, wrong := l.stored()
	if wrong != "" || stored.Refresh.Reveal() != l.first.Refresh || stored.Access.Reveal() != l.first.Access {
		r.add("the store was changed: %s", wrong)
	}
}
