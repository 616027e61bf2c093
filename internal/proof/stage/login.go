// Package stage lays the logins that the proof mistreats, runs the command on
// them, and holds the oracle that looks at what is left.
package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/owner/claudecode"
)

// Login is a Claude Code login on disk and the endpoint that it came from.
type Login struct {
	Dir      string // the storage directory
	Endpoint *issuer.Server
	ID       int          // the endpoint's name for it
	First    issuer.Login // what was laid
	// InPlace: the document could only be written in place, which allows white
	// space at its end.
	InPlace bool

	mode os.FileMode
	own  bool // the endpoint is this login's own
}

// New lays a login in dir, which must exist, whose access token ends in left,
// and starts an endpoint of its own for it.
func New(dir string, left time.Duration, b issuer.Behaviour) (*Login, error) {
	s := issuer.New(&issuer.Options{Behaviour: b})
	if _, err := s.Start(); err != nil {
		return nil, err
	}
	l, err := At(dir, left, s)
	if err != nil {
		s.Close()
		return nil, err
	}
	l.own = true
	return l, nil
}

// At is New with an endpoint that is there already.
func At(dir string, left time.Duration, s *issuer.Server) (*Login, error) {
	first := s.LoginFor(claudecode.ClientID)
	l := &Login{Dir: filepath.Join(dir, "claude"), Endpoint: s, ID: first.ID, First: first, mode: 0o600}
	if err := os.Mkdir(l.Dir, 0o700); err != nil {
		return nil, err
	}
	return l, l.Write(first.Access, first.Refresh, time.Now().Add(left))
}

// Close ends the endpoint, if it is the login's own.
func (l *Login) Close() {
	if l.own {
		l.Endpoint.Close()
	}
}

// Path is the document's.
func (l *Login) Path() string { return filepath.Join(l.Dir, ".credentials.json") }

// Ledger is the folder that evercred keeps beside it.
func (l *Login) Ledger() string { return filepath.Join(l.Dir, ".evercred", ".credentials.json") }

// The bytes around our three values, with everything in them that a careless
// save would change: odd spacing, escapes, duplicates, numbers that no float
// holds, another program's refresh token.
var around = [4]string{
	"{\n  \"mcpOAuth\": {\"srv\": {\"refreshToken\": \"neighbour-secret\", \"n\": 1.50, \"big\": 12345678901234567890}},\n  \"x\\u00e9\":[ 1,2 ], \"x\\u00e9\": null,\n  \"claudeAiOauth\": {\"accessToken\":",
	",\"refreshToken\" : ",
	",\t\"expiresAt\":",
	", \"scopes\":[\"user:inference\"],\"subscriptionType\":\"max\", \"novel\":{\"a\":1e400}}\n, \"pluginSecrets\":{}}\n",
}

// Document is the login as its owner writes it.
func Document(access, refresh string, expires time.Time) []byte {
	return []byte(around[0] + strconv.Quote(access) + around[1] + strconv.Quote(refresh) + around[2] + strconv.FormatInt(expires.UnixMilli(), 10) + around[3])
}

// Write puts a login into the file, as a whole.
func (l *Login) Write(access, refresh string, expires time.Time) error {
	return l.replace(Document(access, refresh, expires))
}

// Blank does what the owner does when the endpoint refuses it (INTEROP §2).
func (l *Login) Blank() error {
	return l.replace([]byte(around[0] + `""` + around[1] + `""` + around[2] + "0" + around[3]))
}

// Logout does what the owner does (INTEROP §2): the whole file goes.
func (l *Login) Logout() error { return os.Remove(l.Path()) }

func (l *Login) replace(doc []byte) error {
	// Beside the directory, so that the oracle never meets it.
	tmp := l.Dir + ".owner-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := os.WriteFile(tmp, doc, l.mode); err != nil {
		return err
	}
	return os.Rename(tmp, l.Path())
}

// Stored is what the file says now.
func (l *Login) Stored() (access, refresh string, expires time.Time, err error) {
	doc, err := os.ReadFile(l.Path())
	if err != nil {
		return "", "", time.Time{}, err
	}
	c, err := claudecode.Codec{}.Decode(doc)
	if err != nil {
		return "", "", time.Time{}, fmt.Errorf("the document does not parse: %w", err)
	}
	return c.Access.Reveal(), c.Refresh.Reveal(), c.Expires, nil
}
