// Package claudecode lends the login of the Claude Code CLI: where it lives
// (INTEROP §1), what it looks like (§2), which locks guard it (§3), and how it
// is renewed (§4).
package claudecode

import (
	"net/http"
	"os"
	"path/filepath"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/keychain"
)

// The owner's endpoint and public client [seen, doc] (INTEROP §4).
const (
	TokenURL  = "https://platform.claude.com/v1/oauth/token"
	TokenHost = "platform.claude.com"
	ClientID  = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
	// APIHost is where the access token may be sent (INTEROP §5).
	APIHost = "api.anthropic.com"
)

// Options say which login is meant and how it is renewed. nil and every zero
// member mean what the CLI itself would do.
type Options struct {
	// Options tune the Source.
	evercred.Options
	// ConfigDir is the directory that holds the login, like CLAUDE_CONFIG_DIR;
	// empty: as the environment says.
	ConfigDir string
	// TokenURL is the token endpoint; empty: the owner's. Another host than the
	// owner's own or loopback must be in AllowHosts.
	TokenURL   string
	AllowHosts []string
	// ClientID is the OAuth client; empty: the login's own, else the CLI's
	// public one.
	ClientID string
	// NoBeta leaves the beta header out of the grant (INTEROP §4).
	NoBeta bool
	// AllowFileMount refreshes a login whose file alone is a mount point. Neither
	// our locks nor the owner's reach the other side of such a mount: see
	// "not protected" in the README.
	AllowFileMount bool
	// AllowArgv refreshes a login in macOS's keychain that is too large for the
	// input of the keychain program, about 1.9 KB: then it is an argument of it for
	// a moment, which other processes of the same user can see. Elsewhere it means
	// nothing.
	AllowArgv bool
	// LookupEnv is os.LookupEnv by default.
	LookupEnv func(string) (string, bool)
}

// Open finds the login and makes a Source of it. It reads the environment and
// nothing else: a login that is missing or broken shows in Source.Token.
//
// Errors: ErrConfig, if the environment or the options cannot be meant.
func Open(opts *Options) (*evercred.Source, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	l, err := Locate(o.LookupEnv, o.ConfigDir)
	if err != nil {
		return nil, err
	}
	return o.open(l.Document, o.keychain(l))
}

// OpenFile makes a Source of a document of the CLI's at a path of your own. The
// owner's locks are taken in the directory of the file.
func OpenFile(path string, opts *Options) (*evercred.Source, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonUsage, What: "the path cannot be resolved", Where: path, Err: err}
	}
	return o.open(path, nil)
}

// keychain is where macOS keeps the login; nil: another system.
func (o Options) keychain(l Location) *keychain.Store {
	if o.Seams.Filled().System != "darwin" {
		return nil
	}
	opts := &keychain.Options{AllowArgv: o.AllowArgv, Owner: newLocks(l.Dir, o.Seams), Seams: o.Seams}
	// What the keychain program finds the user's keychains by, and no secret.
	for _, name := range []string{"HOME", "USER", "LOGNAME", "TMPDIR", "SECURITYSESSIONID", "__CF_USER_TEXT_ENCODING"} {
		if value, ok := o.LookupEnv(name); ok {
			opts.Env = append(opts.Env, name+"="+value)
		}
	}
	return keychain.New(keychain.Item{Service: l.Service(), Account: Account(o.LookupEnv)}, l.Dir, opts)
}

// open puts the parts together. item is nil where there is no keychain.
func (o Options) open(path string, item *keychain.Store) (*evercred.Source, error) {
	refresher, err := o.refresher()
	if err != nil {
		return nil, err
	}
	file := filestore.New(path, &filestore.Options{
		Private:        true,
		AllowFileMount: o.AllowFileMount,
		Owner:          newLocks(filepath.Dir(path), o.Seams),
		Seams:          o.Seams,
	})
	var store evercred.Store = file
	if item != nil {
		store = &itemOrFile{item: item, file: file}
	}
	return evercred.New(store, Codec{}, refresher, &o.Options), nil
}

// refresher is the grant of INTEROP §4.
func (o Options) refresher() (*grant.Client, error) {
	if o.TokenURL == "" {
		o.TokenURL = TokenURL
	}
	cfg := grant.Config{TokenURL: o.TokenURL, ClientID: o.ClientID, DefaultClientID: ClientID, Seams: o.Seams}
	if !o.NoBeta {
		cfg.Header = http.Header{"Anthropic-Beta": {OAuthBeta}}
	}
	c, err := grant.New(cfg)
	if err != nil {
		return nil, err
	}
	return c, c.Confined(append([]string{TokenHost}, o.AllowHosts...)...)
}
