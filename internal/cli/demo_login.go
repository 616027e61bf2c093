package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/dirlock"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// demoLogin is a login of its own directory, as Claude Code would keep it.
type demoLogin struct {
	dir, file string
	issued    issuer.Login
	laid      []byte // the document as it was at first
	others    []byte // what of it is not ours to change
}

// demoDocument is a login among neighbours that a program which parses and
// writes JSON would not leave as they are: numbers, escapes, spacing, an unknown
// member inside the login, a name that occurs twice (FAILURES F1).
const demoDocument = `{
  "mcpOAuth" : { "notes|7f3a": {"accessToken":"a neighbour's", "refreshToken":"a neighbour's",
	"serial": 12345678901234567890123, "ratio": 1.50, "tiny":1E-7 ,"expiresAt": 1.7e12 } },
  "claudeAiOauth": {"accessToken":%q,"later": [ 1.0 , -0 ],"refreshToken":%q,"expiresAt":%d,"scopes":["user:inference","user:profile"],"subscriptionType":"max"},
    "caf\u00e9":"\u002F \ud83d\udd11",   "twice": 1, "twice": 2,
  "organizationUuid"  :null}
`

// lay makes a login whose access token ends in left.
func (s *stage) lay(name string, left time.Duration) (*demoLogin, error) {
	l := &demoLogin{dir: filepath.Join(s.dir, name, "claude"), issued: s.endpoint.LoginFor(claudecode.ClientID)}
	l.file = filepath.Join(l.dir, ".credentials.json")
	l.laid = fmt.Appendf(nil, demoDocument, l.issued.Access, l.issued.Refresh, time.Now().Add(left).UnixMilli())
	var err error
	if l.others, err = othersIn(l.laid); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	return l, os.WriteFile(l.file, l.laid, 0o600)
}

// othersIn is a document without the three values that a refresh may change.
func othersIn(doc []byte) ([]byte, error) {
	c, err := claudecode.Codec{}.Decode(doc)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"accessToken":  strconv.Quote(c.Access.Reveal()),
		"refreshToken": strconv.Quote(c.Refresh.Reveal()),
		"expiresAt":    strconv.FormatInt(c.Expires.UnixMilli(), 10),
	} {
		member := `"` + name + `":`
		if bytes.Count(doc, []byte(member+value)) != 1 {
			return nil, fmt.Errorf("the login's %s is not where it was", name)
		}
		doc = bytes.Replace(doc, []byte(member+value), []byte(member), 1)
	}
	return doc, nil
}

// stored is what the file holds now.
func (l *demoLogin) stored() (doc []byte, c evercred.Credential, err error) {
	if doc, err = os.ReadFile(l.file); err == nil {
		c, err = claudecode.Codec{}.Decode(doc)
	}
	return doc, c, err
}

// book is the login's ledger.
func (l *demoLogin) book() *ledger.Ledger {
	var real *seam.Seams
	return ledger.Open(l.dir, filepath.Base(l.file), real.Filled())
}

// locks are the owner's locks that stand there now.
func (l *demoLogin) locks() []string {
	refresh, write := claudecode.LockPaths(l.dir)
	var there []string
	for _, path := range append(refresh[:], write) {
		if dirlock.Inspect(fsys.OS{}, procid.SystemClock{}, path).Thing != dirlock.Nothing {
			there = append(there, path)
		}
	}
	return there
}

// refreshLocks describe the two locks that cover a refresh; nil: one is missing.
func (l *demoLogin) refreshLocks() []fsys.Info {
	refresh, _ := claudecode.LockPaths(l.dir)
	var infos []fsys.Info
	for _, path := range refresh {
		i, err := fsys.OS{}.Lstat(path)
		if err != nil {
			return nil
		}
		infos = append(infos, i)
	}
	return infos
}
