// Package claudecode lends the login of the Claude Code CLI: where it lives
// (INTEROP §1), what it looks like (§2), which locks guard it (§3), and how it
// is renewed (§4).
package claudecode

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/grant"
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
	return o.open(l.Document, runtime.GOOS == "darwin")
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
	return o.open(path, false)
}

// open puts the parts together. On macOS the owner's file is only a fallback
// for its keychain item (INTEROP §1), which may hold a newer login: as long as
// nobody reads the item here, the file is followed and never refreshed.
func (o Options) open(path string, keychain bool) (*evercred.Source, error) {
	refresher, err := o.refresher()
	if err != nil {
		return nil, err
	}
	o.ReadOnly = o.ReadOnly || keychain && !refresher.Local()
	store := filestore.New(path, &filestore.Options{
		Private:        true,
		AllowFileMount: o.AllowFileMount,
		Owner:          newLocks(filepath.Dir(path), o.Seams),
		Seams:          o.Seams,
	})
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
