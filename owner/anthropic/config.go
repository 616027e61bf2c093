package anthropic

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/jsonedit"
)

// Kind is how a profile authenticates: authentication.type of its config file.
type Kind string

// The kinds (INTEROP §6).
const (
	// UserOAuth: a login of a person, with tokens in the credentials file.
	UserOAuth Kind = "user_oauth"
	// Federation: an identity token of somebody else's is exchanged (RFC 7523).
	Federation Kind = "oidc_federation"
)

// FederationConfig is what a profile of kind Federation says. An empty member
// was left out; the owner's clients then take it from the environment (INTEROP
// §6, Federation). It holds no secret.
type FederationConfig struct {
	RuleID           string // federation_rule_id
	OrganizationID   string // organization_id
	ServiceAccountID string // service_account_id
	WorkspaceID      string // workspace_id
	// IdentityTokenFile holds the assertion, to be read anew for each exchange.
	IdentityTokenFile string
	// Scope is for display; the exchange does not send it.
	Scope string
}

// config reads one config file into a profile. Unknown members are tolerated, as
// the owner's clients must.
type config struct {
	path string
	root jsonedit.Value
}

// read fills p from its config file, with one stat and one read.
func (p *Profile) read() error {
	file, err := fsys.ReadSmall(p.opts.Seams.Filled().FS, p.Location.Config, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoProfile, What: "there is no profile " + p.Location.Profile, Where: p.Location.Config, Err: err}
	}
	if err != nil {
		return unreadable("the profile cannot be read", p.Location.Config, err)
	}
	doc, err := jsonedit.Parse(file.Text)
	if err != nil {
		return unreadable("the profile is not sound JSON", p.Location.Config, err)
	}
	return config{p.Location.Config, doc.Root()}.fill(p)
}

func (c config) fill(p *Profile) error {
	if kind := c.root.Kind(); kind != jsonedit.Object {
		return c.wrong(fmt.Sprintf("the profile is %v, not an object", kind))
	}
	if kind := c.root.Find("authentication").Kind(); kind != jsonedit.Object {
		return c.wrong(fmt.Sprintf("authentication is %v, not an object, so nothing says how the profile authenticates", kind))
	}
	var kind, path string
	for _, m := range []struct {
		to   *string
		name []string
	}{
		{&kind, []string{"authentication", "type"}},
		{&path, []string{"authentication", "credentials_path"}},
		{&p.BaseURL, []string{"base_url"}},
		{&p.OrganizationID, []string{"organization_id"}},
		{&p.WorkspaceID, []string{"workspace_id"}},
	} {
		if err := c.text(m.to, m.name...); err != nil {
			return err
		}
	}
	if path != "" {
		if !filepath.IsAbs(path) {
			p.Warnings = append(p.Warnings, "credentials_path is relative: which file it means depends on the current directory")
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return c.wrong("credentials_path is relative and the current directory is not known")
		}
		p.Credentials = abs
	}
	p.Kind = Kind(kind)
	switch p.Kind {
	case UserOAuth:
		return c.text(&p.ClientID, "authentication", "client_id")
	case Federation:
		return c.federation(p)
	case "":
		return c.wrong("authentication.type is missing")
	}
	return c.wrong(fmt.Sprintf("authentication.type is neither %s nor %s", UserOAuth, Federation))
}

func (c config) federation(p *Profile) error {
	f := FederationConfig{OrganizationID: p.OrganizationID, WorkspaceID: p.WorkspaceID}
	var source string
	for _, m := range []struct {
		to   *string
		name []string
	}{
		{&f.RuleID, []string{"federation_rule_id"}},
		{&f.ServiceAccountID, []string{"service_account_id"}},
		{&f.Scope, []string{"scope"}},
		{&source, []string{"identity_token", "source"}},
		{&f.IdentityTokenFile, []string{"identity_token", "path"}},
	} {
		if err := c.text(m.to, append([]string{"authentication"}, m.name...)...); err != nil {
			return err
		}
	}
	switch given := c.root.Find("authentication", "identity_token").Kind(); {
	case given == jsonedit.Absent || given == jsonedit.Null:
	case given != jsonedit.Object:
		return c.wrong(fmt.Sprintf("authentication.identity_token is %v, not an object", given))
	case source != "file":
		return c.wrong(`authentication.identity_token.source is not "file", the only one that is known`)
	case f.IdentityTokenFile == "":
		return c.wrong("authentication.identity_token names no file")
	}
	p.federation = f
	return nil
}

// text reads a string; absent and null leave it empty. What could play tricks in
// a terminal or a request is refused.
func (c config) text(to *string, path ...string) error {
	v := c.root.Find(path...)
	switch v.Kind() {
	case jsonedit.Absent, jsonedit.Null:
		return nil
	case jsonedit.String:
	default:
		return c.wrong(fmt.Sprintf("%s is %v, not a string", strings.Join(path, "."), v.Kind()))
	}
	*to = v.Text()
	if strings.ContainsFunc(*to, notPrintable) {
		return c.wrong(strings.Join(path, ".") + " holds characters that cannot be printed")
	}
	return nil
}

func (c config) wrong(what string) error {
	return &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonProfile, What: what, Where: c.path}
}
