package issuer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// raw is the answer as it goes over the connection. It has no Date, so that its
// length is the same each time: tests cut it at every byte.
func (a *Answer) raw(chunked bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	h := a.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Connection", "close")
	if chunked {
		h.Set("Transfer-Encoding", "chunked")
	} else {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	h.Write(&b)
	b.WriteString("\r\n")
	if chunked {
		chunk(&b, a.Body[:len(a.Body)/2])
		chunk(&b, a.Body[len(a.Body)/2:])
		b.WriteString("0\r\n\r\n")
	} else {
		b.Write(a.Body)
	}
	return b.Bytes()
}

// chunk writes one of RFC 9112 §7.1; an empty one would end the body.
func chunk(b *bytes.Buffer, p []byte) {
	if len(p) > 0 {
		fmt.Fprintf(b, "%x\r\n%s\r\n", len(p), p)
	}
}

// granting is the answer of RFC 6749 §5.1.
func granting(p *pair, now time.Time, members map[string]string) *Answer {
	m := map[string]string{
		"token_type":   `"Bearer"`,
		"access_token": strconv.Quote(p.access),
		"expires_in":   strconv.FormatInt(int64(p.expires.Sub(now)/time.Second), 10),
		"scope":        `"user:inference user:profile"`,
	}
	if p.refresh != nil {
		m["refresh_token"] = strconv.Quote(p.refresh.secret)
	}
	maps.Copy(m, members)
	return answer(http.StatusOK, "application/json", object(m))
}

// object writes members that are raw JSON: those of the grant first, in the
// order in which a cut is most interesting, then the others by name.
func object(m map[string]string) string {
	names := []string{"token_type", "access_token", "expires_in", "refresh_token", "scope"}
	for _, n := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	var parts []string
	for _, n := range names {
		if m[n] != "" {
			parts = append(parts, strconv.Quote(n)+":"+m[n])
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// refusing is the answer to a grant that was ruled against.
func refusing(code string, how Behaviour) *Answer {
	if code == "invalid_client" {
		return oauthError(http.StatusUnauthorized, code, "Client authentication failed")
	}
	return oauthError(how.refusedStatus(), code, "Refresh token not found or invalid")
}

// oauthError has the shape of RFC 6749 §5.2.
func oauthError(status int, code, description string) *Answer {
	return jsonAnswer(status, map[string]string{"error": code, "error_description": description})
}

// apiError has the shape of the API's own errors (INTEROP §4), which say
// nothing about a refresh token.
func apiError(status int, kind, message string) *Answer {
	return jsonAnswer(status, map[string]any{
		"type":  "error",
		"error": map[string]string{"type": kind, "message": message},
	})
}

func badRequest(status int, message string) *Answer {
	return apiError(status, "invalid_request_error", message)
}

func jsonAnswer(status int, v any) *Answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return answer(status, "application/json", string(body))
}
