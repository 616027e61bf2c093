package grant

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/evercred/evercred"
)

// endpoint parses a token URL and refuses every one that a refresh token must
// not be sent to (FAILURES S4). Its errors do not repeat the URL, which may
// hold a password.
func endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, badEndpoint("the token endpoint is not a URL", "")
	}
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && u.Scheme != "http", host == "":
		return nil, badEndpoint("the token endpoint must be an https URL with a host", "")
	case u.User != nil:
		return nil, badEndpoint("the token endpoint must not hold a user name or password", host)
	case u.Fragment != "": // RFC 6749 §3.2
		return nil, badEndpoint("the token endpoint must not have a fragment", host)
	case !ascii(host):
		return nil, badEndpoint("the host of the token endpoint must be written in its ASCII form", "")
	case !validPort(u.Port()):
		return nil, badEndpoint("the port of the token endpoint is impossible", host)
	case u.Scheme == "http" && loopbacks(host) == nil:
		return nil, badEndpoint("a token endpoint in clear text must be a loopback address", host)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func badEndpoint(what, host string) error {
	return &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonHost, What: what, Where: host}
}

// loopbacks are the loopback addresses that host stands for; nil: it is another
// host. "localhost" is not asked of a resolver, which may say anything (RFC 6761
// §6.3 lets a program know the answer).
func loopbacks(host string) []string {
	if strings.EqualFold(host, "localhost") {
		return []string{"127.0.0.1", "::1"}
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback() {
		return []string{host}
	}
	return nil
}

// addresses are what is dialed for u: one, or both loopbacks for localhost.
func addresses(u *url.URL) []string {
	hosts := []string{u.Hostname()}
	if u.Scheme == "http" {
		hosts = loopbacks(u.Hostname())
	}
	for i, h := range hosts {
		hosts[i] = net.JoinHostPort(h, port(u))
	}
	return hosts
}

// port is the port of u, or that of its scheme.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	switch u.Scheme {
	case "https":
		return "443"
	case "socks5", "socks5h":
		return "1080"
	}
	return "80"
}

func validPort(p string) bool {
	n, err := strconv.ParseUint(p, 10, 16)
	return p == "" || err == nil && n > 0
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
