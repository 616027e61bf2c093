package issuer

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// maxRequest is more than any honest request needs.
const maxRequest = 1 << 20

// request is a refresh_token grant as it was sent.
type request struct {
	GrantType    string `json:"grant_type"`
	RefreshToken string `json:"refresh_token"`
	ClientID     string `json:"client_id"`
	Scope        string `json:"scope"`
	form         string
}

// errCut: the client did not send its request to the end.
var errCut = errors.New("the request was cut off")

// read understands a request. A client's mistake comes back as the answer to it.
func read(r *http.Request) (q request, mistake *Answer, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return q, nil, errCut
	}
	if r.Method != http.MethodPost {
		a := badRequest(http.StatusMethodNotAllowed, "method not allowed")
		a.Header.Set("Allow", http.MethodPost)
		return q, a, nil
	}
	if len(body) > maxRequest {
		return q, badRequest(http.StatusRequestEntityTooLarge, "request too large"), nil
	}
	if !q.parse(r.Header.Get("Content-Type"), body) {
		return q, badRequest(http.StatusBadRequest, "the body is neither JSON nor a form, or does not match its content type"), nil
	}
	return q, q.mistake(), nil
}

// parse takes JSON, as the owners send (INTEROP §4), and forms, as RFC 6749 has it.
func (q *request) parse(contentType string, body []byte) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch kind {
	case "application/json":
		q.form = "json"
		return json.Unmarshal(body, q) == nil
	case "application/x-www-form-urlencoded":
		v, err := url.ParseQuery(string(body))
		*q = request{v.Get("grant_type"), v.Get("refresh_token"), v.Get("client_id"), v.Get("scope"), "form"}
		return err == nil
	}
	return false
}

func (q *request) mistake() *Answer {
	switch {
	case q.GrantType == "":
		return badRequest(http.StatusBadRequest, "grant_type: field required")
	case q.GrantType != "refresh_token":
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", "only refresh_token")
	case q.RefreshToken == "":
		return badRequest(http.StatusBadRequest, "refresh_token: field required")
	}
	return nil
}
