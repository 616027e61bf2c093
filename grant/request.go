package grant

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/evercred/evercred"
)

// request is the whole request as it goes over the wire: made before anything
// is connected, so that one Write sends it.
func (c *Client) request(cred evercred.Credential) ([]byte, error) {
	if cred.Refresh.IsZero() {
		return nil, &evercred.Error{Kind: evercred.ErrNotSent, Reason: evercred.ReasonNoRefresh, What: "the login has no refresh token", Where: c.Host()}
	}
	return c.compose(c.params(cred))
}

// compose makes a request of the parameters of a grant.
func (c *Client) compose(params map[string]string) ([]byte, error) {
	body, kind := c.encode(params)
	req, err := http.NewRequest(http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.unrequestable()
	}
	if c.cfg.Header != nil {
		req.Header = c.cfg.Header.Clone()
	}
	req.Header.Del("Connection")
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", c.userAgent())
	req.Close = true
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, c.unrequestable()
	}
	return wire.Bytes(), nil
}

func (c *Client) unrequestable() error {
	return &evercred.Error{Kind: evercred.ErrNotSent, Reason: evercred.ReasonHost, What: "no request can be made for the token endpoint", Where: c.Host()}
}

// params are those of RFC 6749 §6.
func (c *Client) params(cred evercred.Credential) map[string]string {
	params := map[string]string{
		"grant_type":    "refresh_token",
		"refresh_token": cred.Refresh.Reveal(),
	}
	if id := cmp.Or(c.cfg.ClientID, cred.ClientID, c.cfg.DefaultClientID); id != "" {
		params["client_id"] = id
	}
	if c.cfg.Scope && len(cred.Scopes) > 0 {
		params["scope"] = strings.Join(cred.Scopes, " ")
	}
	return params
}

// encode makes a body, and names its media type.
func (c *Client) encode(params map[string]string) ([]byte, string) {
	if !c.cfg.Form {
		b, _ := json.Marshal(params) // strings always marshal
		return b, "application/json"
	}
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	return []byte(form.Encode()), "application/x-www-form-urlencoded"
}

// userAgent is ours. The build's record is read only when a request is made: it
// costs more than serving a fresh token does.
func (c *Client) userAgent() string {
	if c.cfg.UserAgent != "" {
		return c.cfg.UserAgent
	}
	return "evercred/" + version()
}

// version is this module's, as the build recorded it.
func version() string {
	const module = "github.com/evercred/evercred"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version != "" && m.Version != "(devel)" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "dev"
}
