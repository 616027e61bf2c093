package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/proof/suite"
	"github.com/evercred/evercred/owner/claudecode"
)

// login is an expired login of a peer on disk, and the endpoint it came from.
type login struct {
	dir, path string
	endpoint  *issuer.Server
	id        int
	store     format
	before    string // the neighbours as they were laid
}

// format is how a peer keeps a login: what is laid, and how it is read.
type format struct {
	file string
	lay  func(dir, path, base string, l issuer.Login, ended time.Time) error
	// read gives the stored refresh token, and the neighbours: all that is not
	// the two tokens, their end, or the format's own marks.
	read func(doc []byte) (refresh, neighbours string, err error)
}

// lay makes a login in a directory of its own. Its endpoint listens in the
// network of the clients.
func (n *loopback) lay(r *suite.Run, p *peer, b issuer.Behaviour, observe func(issuer.Stage, issuer.Record)) (*login, error) {
	var listener net.Listener
	var err error
	n.in(func() { listener, err = net.Listen("tcp4", "127.0.0.1:0") })
	if err != nil {
		return nil, err
	}
	l := &login{endpoint: issuer.New(&issuer.Options{Behaviour: b, Listener: listener, Observe: observe}), store: p.store}
	if _, err := l.endpoint.Start(); err != nil {
		return nil, err
	}
	if err := l.write(r, p); err != nil {
		l.endpoint.Close()
		return nil, err
	}
	return l, nil
}

func (l *login) write(r *suite.Run, p *peer) error {
	home, err := r.Temp()
	if err != nil {
		return err
	}
	client := claudecode.ClientID
	if p.public {
		client = ""
	}
	first := l.endpoint.LoginFor(client)
	l.id, l.dir = first.ID, filepath.Join(home, "login")
	l.path = filepath.Join(l.dir, p.store.file)
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	base := strings.TrimSuffix(l.endpoint.URL(), issuer.TokenPath)
	if err := p.store.lay(l.dir, l.path, base, first, time.Now().Add(-time.Hour)); err != nil {
		return err
	}
	_, l.before, err = l.read()
	return err
}

func (l *login) read() (refresh, neighbours string, err error) {
	doc, err := os.ReadFile(l.path)
	if err != nil {
		return "", "", err
	}
	return l.store.read(doc)
}

func (l *login) close() {
	l.endpoint.Close()
	os.RemoveAll(filepath.Dir(l.dir))
}

// state is what is left of a login.
type state struct {
	lost    bool
	changed int // bytes of neighbours
	mode    os.FileMode
	note    string
}

// state judges by the endpoint's book: a login is lost when what is stored
// cannot be renewed any more, or is not the newest.
func (l *login) state() state {
	refresh, neighbours, err := l.read()
	if err != nil {
		return state{lost: true, changed: len(l.before), note: err.Error()}
	}
	s := state{changed: distance(l.before, neighbours)}
	if info, err := os.Stat(l.path); err == nil {
		s.mode = info.Mode().Perm()
	}
	switch {
	case !l.endpoint.Alive(refresh):
		s.lost, s.note = true, "the endpoint refuses the stored refresh token"
	case l.endpoint.Committed(l.id) != refresh:
		s.lost, s.note = true, "the stored refresh token is not the newest"
	}
	return s
}

// claude is the document of Claude Code, with all the neighbours of stage.
var claude = format{
	file: ".credentials.json",
	lay: func(_, path, _ string, l issuer.Login, ended time.Time) error {
		return os.WriteFile(path, stage.Document(l.Access, l.Refresh, ended), 0o600)
	},
	read: func(doc []byte) (string, string, error) {
		c, err := claudecode.Codec{}.Decode(doc)
		if err != nil {
			return "", "", err
		}
		rest := string(doc)
		for _, own := range []string{c.Access.Reveal(), c.Refresh.Reveal(), strconv.FormatInt(c.Expires.UnixMilli(), 10)} {
			rest = strings.Replace(rest, own, "", 1)
		}
		return c.Refresh.Reveal(), rest, nil
	},
}

// profile is that of the official SDKs (INTEROP §6). How they space a file is
// theirs to say: only members count.
var profile = format{
	file: "credentials/default.json",
	lay: func(dir, path, base string, l issuer.Login, ended time.Time) error {
		config := fmt.Sprintf(`{"version":"1.0","authentication":{"type":"user_oauth","client_id":%q},"base_url":%q}`, l.ClientID, base)
		tokens := fmt.Sprintf(`{"version":"1.0","type":"oauth_token","access_token":%q,"refresh_token":%q,"expires_at":%d,`+
			`"scope":"user:inference user:profile","organization_uuid":"4b1f","account_email":"nobody@example.com"}`, l.Access, l.Refresh, ended.Unix())
		if err := os.Mkdir(filepath.Join(dir, "configs"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "configs/default.json"), []byte(config), 0o644); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(tokens), 0o600)
	},
	read: func(doc []byte) (string, string, error) {
		return members(doc, "refresh_token", "access_token", "expires_at", "version", "type")
	},
}

// pi is the file of the coding agent pi, with the key of another provider.
var pi = format{
	file: "auth.json",
	lay: func(_, path, _ string, l issuer.Login, ended time.Time) error {
		return os.WriteFile(path, fmt.Appendf(nil, `{"openai":{"type":"api_key","key":"neighbour-secret"},`+
			`"anthropic":{"type":"oauth","refresh":%q,"access":%q,"expires":%d}}`, l.Refresh, l.Access, ended.UnixMilli()), 0o600)
	},
	read: func(doc []byte) (string, string, error) {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(doc, &all); err != nil {
			return "", "", err
		}
		refresh, own, err := members(all["anthropic"], "refresh", "access", "expires")
		if err != nil {
			return "", "", err
		}
		delete(all, "anthropic")
		return refresh, own + compact(all), nil
	},
}

// members gives one member of an object, and the text of those that are not
// named.
func members(doc []byte, secret string, own ...string) (string, string, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(doc, &all); err != nil {
		return "", "", err
	}
	var refresh string
	if err := json.Unmarshal(all[secret], &refresh); err != nil {
		return "", "", fmt.Errorf("%s: %w", secret, err)
	}
	for _, name := range append(own, secret) {
		delete(all, name)
	}
	return refresh, compact(all), nil
}

// compact writes members by name without white space.
func compact(all map[string]json.RawMessage) string {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%q:", name)
		_ = json.Compact(&b, all[name]) // it has been parsed
	}
	return b.String()
}

// distance counts the bytes that have to be taken out of a or put into it to
// make b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // row[j]: from a[:i] to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = diagonal
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
