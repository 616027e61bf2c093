package grant

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred"
)

// lifetimeOfLogin is the longest life of a login that is believed; a real one
// has about 30 days (INTEROP §2).
const lifetimeOfLogin = 10 * 366 * 24 * time.Hour

// Parse says what an answer means for the refresh token that was sent (DESIGN
// §6.8, INTEROP §4); see evercred.Refresher. Whatever the bytes are, it says
// Refused only for a whole 400 or 401 answer in the form of RFC 6749 §5.2, and
// Granted only with an access token that can stand in a header. Of duplicate
// members the last counts. For an answer of 2xx that is not Granted, Strange
// says why.
func (c *Client) Parse(a evercred.Answer, sent evercred.Credential) evercred.Outcome {
	r := read(a.Raw())
	if r.status/100 == 2 {
		out := c.success(r, a.At(), sent)
		if out.Verdict != evercred.Granted {
			out.Err = c.refusal(r, a.At(), sent)
		}
		return out
	}
	return evercred.Outcome{Verdict: r.verdict(), Err: c.refusal(r, a.At(), sent)}
}

// reply is an answer as HTTP, as far as it came.
type reply struct {
	status int // 0: no HTTP answer
	header http.Header
	body   []byte
	cut    bool // HTTP says that more should have come
	members
}

// read understands raw as HTTP; that it may be cut is no error.
func read(raw []byte) reply {
	resp, err := final(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return reply{cut: true}
	}
	body, err := io.ReadAll(resp.Body)
	r := reply{status: resp.StatusCode, header: resp.Header, body: body, cut: err != nil}
	if e := strings.ToLower(r.header.Get("Content-Encoding")); e == "gzip" || e == "x-gzip" {
		r.inflate()
	}
	r.members = scan(r.body)
	return r
}

// inflate undoes what we asked the endpoint not to do, and what a box on the
// way may do all the same.
func (r *reply) inflate() {
	z, err := gzip.NewReader(bytes.NewReader(r.body))
	if err != nil {
		return
	}
	body, err := io.ReadAll(io.LimitReader(z, maxAnswer))
	r.body, r.cut = body, r.cut || err != nil
}

// verdict is that of an answer other than 2xx.
func (r reply) verdict() evercred.Verdict {
	switch r.status {
	case 0:
		return evercred.Unknown
	case http.StatusBadRequest, http.StatusUnauthorized:
		return r.denied()
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return evercred.Limited
	}
	if r.status/100 == 5 {
		return evercred.Unknown
	}
	return evercred.Foreign // redirects too: nobody follows them (FAILURES R14)
}

// denied is the verdict of a 400 or 401. Half an answer convicts nobody.
func (r reply) denied() evercred.Verdict {
	code, _ := r.text("error")
	switch {
	case r.page():
		return evercred.Foreign
	case r.cut || r.members.cut:
		return evercred.Unknown
	case code == "invalid_grant" && r.closed && !r.trailing:
		return evercred.Refused
	}
	return evercred.Foreign
}

// page reports whether the body is meant for people: a captive portal, a
// gateway (FAILURES R12).
func (r reply) page() bool {
	body := bytes.TrimSpace(r.body)
	return bytes.HasPrefix(body, []byte("<")) ||
		len(body) > 0 && !r.object && strings.Contains(strings.ToLower(r.header.Get("Content-Type")), "html")
}

// success understands a 2xx answer.
func (c *Client) success(r reply, at time.Time, sent evercred.Credential) evercred.Outcome {
	access, _ := r.text("access_token")
	refresh, named := r.text("refresh_token")
	rotated := named && refresh != "" && visible(refresh) && refresh != sent.Refresh.Reveal()
	if why := r.unusable(access, refresh); why != "" {
		out := evercred.Outcome{Strange: []string{why}}
		switch {
		case r.cut || r.members.cut: // half an answer is a loss on the way: Unknown
		case rotated:
			out.Verdict, out.Rotated = evercred.Committed, true
		case r.page():
			out.Verdict = evercred.Foreign
		}
		return out
	}
	out := evercred.Outcome{Verdict: evercred.Granted, Credential: sent, Rotated: rotated}
	out.Credential.Blanked = false
	out.Credential.Access = evercred.NewSecret(access)
	if rotated {
		out.Credential.Refresh = evercred.NewSecret(refresh)
	}
	c.lifetimes(r, at, &out)
	r.scopes(&out)
	if r.cut || !r.closed {
		out.Strange = append(out.Strange, "the answer is truncated")
	}
	if r.trailing {
		out.Strange = append(out.Strange, "something follows the answer")
	}
	return out
}

// unusable says why a 2xx answer is of no use; empty: it is usable (DESIGN §6.8).
func (r reply) unusable(access, refresh string) string {
	kind, isText := r.text("token_type")
	_, named := r.text("refresh_token")
	switch {
	case len(bytes.TrimSpace(r.body)) == 0:
		return "the answer has no body"
	case !r.object:
		return "the answer is not a JSON object"
	case r.has("error"):
		return "the answer is an error"
	case access == "" && r.members.cut:
		return "the answer is truncated before the access token"
	case access == "":
		return "the answer has no access token"
	case !headerSafe(access):
		return "the access token holds characters that cannot stand in a header"
	case r.has("refresh_token") && !named, !visible(refresh):
		return "the refresh token is not one"
	case r.has("token_type") && !(isText && strings.EqualFold(kind, "Bearer")):
		return "the token type is not Bearer"
	case !r.closed && !r.members.cut:
		return "the answer is not well-formed"
	case !r.closed && refresh == "":
		return "the answer is truncated before the refresh token"
	}
	return ""
}

// lifetimes reads the two lifetimes. A strange one spoils nothing: the tokens
// are good all the same (FAILURES R13).
func (c *Client) lifetimes(r reply, at time.Time, out *evercred.Outcome) {
	lifetime, ok := r.seconds("expires_in", c.seams.Times.LifetimeMax)
	switch {
	case ok:
		out.Lifetime = lifetime
		out.Credential.Expires = at.Add(lifetime)
	case r.has("expires_in"):
		out.Credential.Expires = time.Time{}
		out.Strange = append(out.Strange, "the lifetime (expires_in) is not believable")
	default:
		out.Credential.Expires = time.Time{}
		out.Strange = append(out.Strange, "the answer names no lifetime (expires_in)")
	}
	deadline, ok := r.seconds("refresh_token_expires_in", lifetimeOfLogin)
	switch {
	case ok:
		out.Credential.Deadline = at.Add(deadline)
	case r.has("refresh_token_expires_in"):
		out.Strange = append(out.Strange, "the lifetime of the login (refresh_token_expires_in) is not believable")
	}
}

// seconds reads a JSON number of at least one second and at most longest.
func (r reply) seconds(name string, longest time.Duration) (time.Duration, bool) {
	f, ok := r.number(name)
	if !ok || math.IsNaN(f) || f < 1 || f > longest.Seconds() {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// scopes takes the set that the answer names, if it does (RFC 6749 §5.1).
func (r reply) scopes(out *evercred.Outcome) {
	scope, ok := r.text("scope")
	switch fields := strings.Fields(scope); {
	case ok && len(fields) > 0 && visible(scope):
		out.Credential.Scopes = fields
	case r.has("scope"):
		out.Strange = append(out.Strange, "the scope is not one")
	}
}

// refusal is what may be repeated of an answer (FAILURES S2).
func (c *Client) refusal(r reply, at time.Time, sent evercred.Credential) *evercred.RefreshError {
	code, _ := r.text("error")
	description, _ := r.text("error_description")
	return &evercred.RefreshError{
		Status:      r.status,
		Code:        speakableCode(code, sent),
		Description: speakable(description, sent),
		RetryAfter:  r.retryAfter(at),
		Host:        c.Host(),
	}
}

// retryAfter is RFC 9110 §10.2.3 in both forms; zero: none, nothing that can be
// understood, or no later than the answer. Source puts bounds to it.
func (r reply) retryAfter(at time.Time) time.Time {
	value := strings.TrimSpace(r.header.Get("Retry-After"))
	until, err := http.ParseTime(value)
	if err != nil {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return time.Time{}
		}
		const century = 100 * 366 * 24 * 60 * 60
		until = at.Add(time.Duration(min(n, century)) * time.Second)
	}
	if !until.After(at) {
		return time.Time{}
	}
	return until
}

// headerSafe reports whether s can be a credential in a header.
func headerSafe(s string) bool { return s != "" && ascii(s) }

// visible reports whether s is made of the characters that RFC 6749 (appendix
// A) allows for tokens and scopes: printable ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
