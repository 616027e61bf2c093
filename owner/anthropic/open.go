// Package anthropic lends the login of an Anthropic profile, as the `ant` CLI and
// Anthropic's SDKs keep it: where it lives, what its two files look like, and how
// it is renewed (INTEROP §6).
//
// The owner's clients take no lock. Our guard keeps our own processes apart;
// against the others stand a second look, a compare-and-swap save, and adoption.
package anthropic

import (
	"cmp"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/internal/credjson"
)

// The owner's API, which holds its token endpoint too (INTEROP §6).
const (
	BaseURL   = "https://api.anthropic.com"
	APIHost   = "api.anthropic.com"
	tokenPath = "/v1/oauth/token"
)

// Options say which profile is meant and how it is renewed. nil and every zero
// member mean what the owner's clients would do.
type Options struct {
	// Options tune the Source. For a static profile Probe is "at each use" by
	// default: a stat each.
	evercred.Options
	// ConfigDir is the directory of the profiles, like ANTHROPIC_CONFIG_DIR.
	ConfigDir string
	// Profile is the name of one, like ANTHROPIC_PROFILE.
	Profile string
	// TokenURL is the token endpoint; empty: the profile's.
	TokenURL string
	// AllowHosts may be sent the profile's secrets beside the owner's own host and
	// loopback: lower-case host names, without a port.
	AllowHosts []string
	// ClientID is the OAuth client; empty: the profile's.
	ClientID string
	// AllowFileMount refreshes a login whose file alone is a mount point: see
	// filestore.Options.
	AllowFileMount bool
	// LookupEnv is os.LookupEnv by default.
	LookupEnv func(string) (string, bool)
}

// Profile is what the config file of one profile says. It holds no secret. The
// credentials file was not looked at.
type Profile struct {
	Location Location
	Kind     Kind
	// Credentials is the file with the tokens: Location's, or credentials_path.
	Credentials string
	// ClientID is the OAuth client that the login was issued to; empty: the
	// profile is static, its token is followed and never renewed.
	ClientID string
	// BaseURL of API and token endpoint; empty: BaseURL of this package. Nobody
	// checked it: see APIHost and TokenURL.
	BaseURL        string
	OrganizationID string
	// WorkspaceID is what the owner's clients send as anthropic-workspace-id with
	// each request of a UserOAuth profile; the Source does not.
	WorkspaceID string
	// Warnings say what looks unintended, Location's included.
	Warnings []string

	federation FederationConfig
	opts       Options
}

// Load finds the profile and reads its config file: see Locate, and LoadAt.
func Load(opts *Options) (*Profile, error) {
	o := filled(opts)
	l, err := o.Locate()
	if err != nil {
		return nil, err
	}
	return LoadAt(l, &o)
}

// LoadAt reads the config file of a profile that was located before.
//
// ErrNotFound (ReasonNoProfile): there is none. ErrConfig (ReasonProfile): it
// does not say how the profile authenticates, or in a way that is not known.
// ErrUnsafe: it cannot be read, or is not JSON.
func LoadAt(l Location, opts *Options) (*Profile, error) {
	p := &Profile{Location: l, Credentials: l.Credentials, Warnings: slices.Clone(l.Warnings), opts: filled(opts)}
	if err := p.read(); err != nil {
		return nil, err
	}
	p.ClientID = cmp.Or(p.opts.ClientID, p.ClientID)
	return p, nil
}

func filled(opts *Options) Options {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	return o
}

// Static reports that the token is followed and never renewed.
func (p *Profile) Static() bool { return p.Kind == UserOAuth && p.ClientID == "" }

// Federation is what a profile of that kind says; of the other kind it is zero.
func (p *Profile) Federation() FederationConfig { return p.federation }

// Open makes a Source of a profile of kind UserOAuth. A login that is missing or
// broken shows in Source.Token.
//
// ErrConfig: the profile is of another kind (ReasonProfile), or names an endpoint
// that may not be sent its refresh token (ReasonHost): see TokenURL.
func (p *Profile) Open() (*evercred.Source, error) {
	if p.Kind != UserOAuth {
		return nil, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonProfile, Where: p.Location.Config,
			What: "the profile is of type " + string(p.Kind) + " and holds no login of its own"}
	}
	refresher, err := p.refresher()
	if err != nil {
		return nil, err
	}
	o := p.opts
	if p.Static() && o.Probe <= 0 {
		o.Probe = 1 // as often as the clock ticks: the owner's clients read it anew for each use
	}
	return evercred.New(p.store(), Codec{ClientID: p.ClientID}, refresher, &o.Options), nil
}

// store holds the owner's rules: no link, nothing that others may read.
func (p *Profile) store() *filestore.Store {
	return filestore.New(p.Credentials, &filestore.Options{
		Private:        true,
		Strict:         true,
		AllowFileMount: p.opts.AllowFileMount,
		Seams:          p.opts.Seams,
	})
}

// refresher is the grant of INTEROP §6, without scope: the endpoint keeps the set.
func (p *Profile) refresher() (*grant.Client, error) {
	endpoint, err := p.endpoint()
	if err != nil {
		return nil, err
	}
	c, err := grant.New(grant.Config{TokenURL: endpoint, Header: http.Header{"Anthropic-Beta": {OAuthBeta}}, Seams: p.opts.Seams})
	if err != nil {
		return nil, err
	}
	// The directory can be named by a project's environment file, and a config
	// file in it can name the user's own credentials (S7).
	if err := c.Confined(append([]string{APIHost}, p.opts.AllowHosts...)...); err != nil {
		return nil, err
	}
	return c, nil
}

// endpoint is the token endpoint, unchecked.
func (p *Profile) endpoint() (string, error) {
	if p.opts.TokenURL != "" {
		return p.opts.TokenURL, nil
	}
	u, err := url.Parse(cmp.Or(p.BaseURL, BaseURL))
	if err != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		// The URL is not repeated: it may hold a password.
		return "", &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonHost, What: "base_url of the profile is no URL that a path can be added to", Where: p.Location.Config}
	}
	return strings.TrimRight(u.String(), "/") + tokenPath, nil
}

// TokenURL is the token endpoint: Options.TokenURL, or /v1/oauth/token below
// base_url, for the exchange of either kind of profile. The environment has no
// say in it: ANTHROPIC_BASE_URL is not read.
//
// ErrConfig (ReasonHost): it is not https (or http to loopback), or its host is
// neither the owner's, nor loopback, nor in AllowHosts.
func (p *Profile) TokenURL() (string, error) {
	if _, err := p.refresher(); err != nil {
		return "", err
	}
	return p.endpoint()
}

// APIHost is where the profile's tokens may be sent, for Transport.Hosts: the
// host of base_url, with its port if it names one. The errors are TokenURL's, of
// the endpoint below base_url.
func (p *Profile) APIHost() (string, error) {
	own := *p
	own.opts.TokenURL = "" // another token endpoint says nothing of the API
	c, err := own.refresher()
	if err != nil {
		return "", err
	}
	return c.Host(), nil
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

// unreadable is the error of a file that holds no secret.
func unreadable(what, where string, err error) error { return credjson.Unreadable(what, where, err) }
