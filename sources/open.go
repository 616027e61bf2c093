package sources

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/federation"
	"github.com/evercred/evercred/helper"
	"github.com/evercred/evercred/owner/anthropic"
	"github.com/evercred/evercred/owner/claudecode"
)

// The names of the sources. Profile, Env and File may be followed by a colon and
// which one: "profile:work", "env:ANTHROPIC_API_KEY", "file:/path"; File must.
const (
	Auto       = "auto"
	ClaudeCode = "claude-code"
	Profile    = "profile"
	Env        = "env"
	Helper     = "helper"
	Federation = "federation"
	File       = "file"
)

// Options say where to look and what is allowed. nil and every zero member mean
// what the owners themselves would do. A member that says nothing to a source is
// of no effect there.
type Options struct {
	// Options tune every Source that is opened.
	evercred.Options
	// ConfigDir is the directory of Claude Code's login, like CLAUDE_CONFIG_DIR.
	ConfigDir string
	// TokenURL is the token endpoint and ClientID the OAuth client of a login,
	// instead of the owner's; AllowHosts are foreign hosts that may be sent its
	// secrets, in lower case and without port.
	TokenURL   string
	ClientID   string
	AllowHosts []string
	// AllowFileMount: see filestore.Options.
	AllowFileMount bool
	// AllowArgv: see keychain.Options.
	AllowArgv bool
	// HelperCommand is an apiKeyHelper of the caller's own, which is run without
	// further ado. AllowHelper lets Auto run one that the settings name.
	HelperCommand string
	AllowHelper   bool
	// Renewal says who renews a login; empty: Self.
	Renewal Renewal
	// LookupEnv is os.LookupEnv by default.
	LookupEnv func(string) (string, bool)
	// Environ is os.Environ by default: that of the owner's command.
	Environ func() []string
	// Managed are the administrator's settings files, which may name an
	// apiKeyHelper; nil: the owner's.
	Managed []string
}

// Renewal says who renews a login.
type Renewal string

// The renewals. Only Self makes a grant of ours.
const (
	Self Renewal = "self"
	// Owner runs the owner's own command when the login has ended: `claude auth
	// status`, `ant auth print-credentials` (INTEROP §8). It gets a minute, then a
	// SIGTERM, and never a SIGKILL. A file of one's own and federation have no such
	// command: ErrConfig (ReasonUsage).
	Owner Renewal = "owner"
	// Never is ReadOnly: follow what the owner writes. An exchange of federation is
	// a grant too (RFC 7523 §2.1), so there is no token of that: ErrUnavailable
	// (ReasonReadOnly). A helper is run all the same; what it does is its own.
	Never Renewal = "never"
)

// Source is one that was opened.
type Source struct {
	Lender
	// Found is which it is, and why.
	Found
	// Passed are those before it that Auto found and was not allowed to use.
	Passed []Found
}

// Open opens a source by its name. With Auto it is the first that is present, and
// Claude Code's login if none is.
//
// ErrConfig (ReasonUsage): no such name, or no such Renewal. Otherwise the errors of the source: one
// that is present and broken is an error, also for Auto. That a named source is
// absent shows here as ErrNotFound, or later in Token if somebody may yet log in.
func Open(name string, opts *Options) (*Source, error) {
	o := filled(opts)
	switch o.Renewal {
	case "", Self, Owner, Never:
	default:
		return nil, usage("a login is renewed by self, owner or never", string(o.Renewal))
	}
	if name == Auto {
		return o.auto()
	}
	c, err := o.named(name)
	if err != nil {
		return nil, err
	}
	return c.open()
}

func filled(opts *Options) Options {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Environ == nil {
		o.Environ = os.Environ
	}
	o.ReadOnly = o.ReadOnly || o.Renewal == Never || o.Renewal == Owner
	return o
}

// Valid says whether a name can be one of a source, and what is wrong with it.
func Valid(name string) error {
	kind, which, more := strings.Cut(name, ":")
	switch {
	case kind == File && which == "":
		return unnamed(name, "a path is missing: file:PATH")
	case kind == Profile && more && which == "":
		return unnamed(name, "a name is missing: profile:NAME")
	case kind == File, kind == Profile && which != "", kind == Env && isVariable(which):
		return nil
	case kind == Env && more:
		return unnamed(name, "the variables that hold a token are "+strings.Join(variables[:], ", "))
	case more:
		return unnamed(name, "nothing may follow the colon")
	}
	switch kind {
	case Auto, ClaudeCode, Profile, Env, Helper, Federation:
		return nil
	}
	return unnamed(name, "the sources are auto, claude-code, profile[:NAME], env[:VARIABLE], helper, federation and file:PATH")
}

func unnamed(name, what string) error {
	return usage("no source has this name: "+what, name)
}

func usage(what, where string) error {
	return &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonUsage, What: what, Where: where}
}

// candidate is a place that was looked at. lend opens it, and reads nothing that
// the look has read.
type candidate struct {
	Found
	lend func() (Lender, error)
}

func (c candidate) open() (*Source, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	l, err := c.lend()
	if err != nil {
		return nil, err
	}
	return &Source{Lender: l, Found: c.Found}, nil
}

// named is the place that a name other than Auto means.
func (o *Options) named(name string) (candidate, error) {
	if err := Valid(name); err != nil {
		return candidate{}, err
	}
	kind, which, _ := strings.Cut(name, ":")
	switch kind {
	case ClaudeCode:
		return o.claudeCode(), nil
	case File:
		return o.file(which), nil
	case Profile:
		return o.profile(which), nil
	case Helper:
		o.AllowHelper = true // it was asked for by name
		return o.helper(), nil
	case Federation:
		return o.federation(), nil
	}
	for _, v := range variables {
		if c := o.variable(v); which == v || which == "" && c.Present {
			return c, nil
		}
	}
	return candidate{Found: Found{Name: Env, Err: absent("none of the variables is set that hold a token", strings.Join(variables[:], ", "))}}, nil
}

// variables are those that hold a token themselves, the strongest first.
var variables = [...]string{claudecode.VarAuthToken, claudecode.VarAPIKey, claudecode.VarOAuthToken}

func isVariable(name string) bool { return slices.Contains(variables[:], name) }

func (o *Options) variable(name string) candidate {
	value, _ := o.LookupEnv(name)
	c := candidate{Found: Found{Name: Env + ":" + name, Place: name, Present: value != ""}}
	c.lend = func() (Lender, error) {
		p, err := claudecode.EnvToken(name, o.LookupEnv)
		if err != nil {
			return nil, err
		}
		return given{Provider: p, status: evercred.Status{Place: name}, pinned: true}, nil
	}
	if !c.Present {
		c.Err = absent("the variable is not set", name)
	}
	return c
}

// helper is the caller's command, else that of the settings.
func (o *Options) helper() candidate {
	c := candidate{Found: Found{Name: Helper, Place: "--helper", Present: true}}
	command := o.HelperCommand
	if command == "" {
		found, err := o.setting()
		if c.look(err); err != nil {
			return c
		}
		command, c.Place = found.Command, found.File
		if !o.AllowHelper {
			c.Note = "present and not run: --allow-helper allows it"
		}
	}
	c.lend = func() (Lender, error) {
		ttl, err := claudecode.HelperTTL(o.LookupEnv)
		if err != nil {
			return nil, err
		}
		h, err := helper.New(helper.Config{Command: command, Origin: c.Place, TTL: ttl, Timeout: o.RefreshTimeout})
		if err != nil {
			return nil, err
		}
		return given{Provider: h, status: evercred.Status{Place: c.Place}}, nil
	}
	return c
}

// setting finds the apiKeyHelper of the settings. Settings that a repository could
// have brought are an error if they are there, because nobody can tell what the
// user meant; what an administrator says comes before them.
func (o *Options) setting() (claudecode.HelperSetting, error) {
	s, err := claudecode.LocateSettings(o.LookupEnv, o.ConfigDir)
	if o.Managed != nil {
		s.Managed = o.Managed
	}
	s.Seams = o.Seams
	doubtful := evercred.ReasonOf(err) == evercred.ReasonSettings
	if err != nil && !doubtful {
		return claudecode.HelperSetting{}, err
	}
	user := s.User
	if doubtful {
		s.User = ""
	}
	found, none := s.Helper()
	if doubtful && errors.Is(none, evercred.ErrNotFound) {
		if _, absent := o.Seams.Filled().FS.Stat(user); !errors.Is(absent, fs.ErrNotExist) {
			return found, err
		}
	}
	return found, none
}

func (o *Options) federation() candidate {
	c := candidate{Found: Found{Name: Federation, Place: federation.VarRuleID, Present: true}}
	cfg, err := federation.FromEnv(o.LookupEnv)
	c.look(err)
	c.lend = func() (Lender, error) { return o.exchange(cfg, c.Place) }
	return c
}

func (o *Options) exchange(cfg federation.Config, place string) (Lender, error) {
	cfg.AllowHosts, cfg.Early, cfg.Timeout, cfg.Seams = o.AllowHosts, o.RefreshEarly, o.RefreshTimeout, o.Seams
	if o.TokenURL != "" {
		cfg.TokenURL = o.TokenURL
	}
	f, err := federation.New(cfg)
	var e *evercred.Error
	switch {
	case errors.As(err, &e) && e.Where == "":
		located := *e
		located.Where = place
		return nil, &located
	case err != nil:
		return nil, err
	case o.Renewal == Owner:
		return nil, usage("federation has no owner that could renew it", place)
	case o.ReadOnly:
		err := &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonReadOnly, What: "an exchange is a grant, and none may be made", Where: place}
		return given{Provider: barred{err}, status: evercred.Status{Place: place, Err: err}}, nil
	}
	return given{Provider: f, status: evercred.Status{Place: place}}, nil
}

// profile is an Anthropic profile; its config file is read here, once.
func (o *Options) profile(name string) candidate {
	c := candidate{Found: Found{Name: Profile, Present: true}}
	opts := &anthropic.Options{
		Options: o.Options, Profile: name, TokenURL: o.TokenURL, AllowHosts: o.AllowHosts,
		ClientID: o.ClientID, AllowFileMount: o.AllowFileMount, LookupEnv: o.LookupEnv,
	}
	at, err := opts.Locate()
	if err != nil {
		c.look(err)
		return c
	}
	c.Name, c.Why, c.Place, c.Warnings = Profile+":"+at.Profile, at.ProfileFrom, at.Config, at.Warnings
	p, err := anthropic.LoadAt(at, opts)
	if err != nil {
		c.look(err)
		c.Present = c.Present || at.ProfileFrom != "" // somebody wants this one and no other
		return c
	}
	c.Warnings = p.Warnings
	c.lend = func() (Lender, error) {
		if p.Kind == anthropic.Federation {
			return o.federated(p)
		}
		return o.owned(p.Open, antCommand(o, p))
	}
	return c
}

// federated takes what the profile leaves out from the environment, as the
// owner's clients do (INTEROP §6); all but the endpoint, see anthropic.Profile.
func (o *Options) federated(p *anthropic.Profile) (Lender, error) {
	or := func(value, variable string) string {
		if value == "" {
			value, _ = o.LookupEnv(variable)
		}
		return value
	}
	endpoint, err := p.TokenURL()
	if err != nil {
		return nil, err
	}
	f := p.Federation()
	cfg := federation.Config{
		Identity:         federation.IdentityFromEnv(o.LookupEnv),
		RuleID:           or(f.RuleID, federation.VarRuleID),
		OrganizationID:   or(f.OrganizationID, federation.VarOrganizationID),
		ServiceAccountID: or(f.ServiceAccountID, federation.VarServiceAccountID),
		WorkspaceID:      or(f.WorkspaceID, federation.VarWorkspaceID),
		TokenURL:         endpoint,
	}
	if f.IdentityTokenFile != "" {
		cfg.Identity = federation.IdentityFile(f.IdentityTokenFile)
	}
	return o.exchange(cfg, p.Location.Config)
}

func (o *Options) claudeCode() candidate {
	c := candidate{Found: Found{Name: ClaudeCode, Present: true}}
	at, err := claudecode.Locate(o.LookupEnv, o.ConfigDir)
	if c.look(err); err != nil {
		return c
	}
	c.Place, c.Why, c.Warnings = at.Document, at.Variable, at.Warnings
	opts := o.claude()
	c.lend = func() (Lender, error) {
		return o.owned(func() (*evercred.Source, error) { return claudecode.Open(opts) }, claudeCommand(o, at))
	}
	return c
}

// owned opens a login, and gives its renewal to the owner if that is asked for.
func (o *Options) owned(open func() (*evercred.Source, error), c *ownersCommand) (Lender, error) {
	src, err := open()
	switch {
	case err != nil:
		return nil, err
	case o.Renewal != Owner:
		return src, nil
	case c == nil:
		return nil, usage("a file of one's own has no owner that could renew it", "")
	}
	return newDelegate(src, c, o.Seams), nil
}

func (o *Options) file(path string) candidate {
	opts := o.claude()
	return candidate{
		Found: Found{Name: File, Place: path, Present: true},
		lend: func() (Lender, error) {
			return o.owned(func() (*evercred.Source, error) { return claudecode.OpenFile(path, opts) }, nil)
		},
	}
}

func (o *Options) claude() *claudecode.Options {
	return &claudecode.Options{
		Options: o.Options, ConfigDir: o.ConfigDir, TokenURL: o.TokenURL, AllowHosts: o.AllowHosts,
		ClientID: o.ClientID, AllowFileMount: o.AllowFileMount, AllowArgv: o.AllowArgv, LookupEnv: o.LookupEnv,
	}
}

func absent(what, where string) error {
	return &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: what, Where: where}
}
