package grant

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evercred/evercred"
)

var arrived = time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)

func parser(t testing.TB) *Client {
	c, err := New(Config{TokenURL: "https://Platform.Claude.com/v1/oauth/token"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(t testing.TB, raw []byte) evercred.Outcome {
	return parser(t).Parse(evercred.NewAnswer(raw, arrived), login())
}

func TestParseGranted(t *testing.T) {
	out := parse(t, answer(200, goodBody))
	c := out.Credential
	switch {
	case out.Verdict != evercred.Granted, out.Err != nil, !out.Rotated, len(out.Strange) != 0:
		t.Errorf("%+v", out)
	case c.Access.Reveal() != newAccess, c.Refresh.Reveal() != newRefresh:
		t.Errorf("tokens %q %q", c.Access.Reveal(), c.Refresh.Reveal())
	case out.Lifetime != 8*time.Hour, !c.Expires.Equal(arrived.Add(8 * time.Hour)):
		t.Errorf("lifetime %v, %v", out.Lifetime, c.Expires)
	case !c.Deadline.Equal(arrived.Add(30 * 24 * time.Hour)):
		t.Errorf("deadline %v", c.Deadline)
	case !slices.Equal(c.Scopes, []string{"user:inference", "user:profile"}), c.Plan != "max":
		t.Errorf("%v %q", c.Scopes, c.Plan)
	}
}

// What the answer does not speak of stays as it was.
func TestParseKeeps(t *testing.T) {
	sent := login()
	sent.Blanked, sent.ClientID = true, "c"
	sent.Companions = http.Header{"Anthropic-Beta": {"b"}}
	for _, rest := range []string{
		`}`,
		`,"refresh_token":null,"scope":null,"token_type":null,"error":null}`,
		`,"refresh_token":"","scope":"","token_type":"bearer"}`,
		`,"refresh_token":"` + oldRefresh + `","token_type":"BEARER"}`,
	} {
		body := `{"expires_in":60,"access_token":"` + newAccess + `"` + rest
		out := parser(t).Parse(evercred.NewAnswer(answer(200, body), arrived), sent)
		c := out.Credential
		if out.Verdict != evercred.Granted || out.Rotated || c.Blanked || c.Refresh.Reveal() != oldRefresh || c.Access.Reveal() != newAccess ||
			!slices.Equal(c.Scopes, sent.Scopes) || !c.Deadline.Equal(sent.Deadline) || c.ClientID != "c" || c.Companions.Get("Anthropic-Beta") != "b" || c.Plan != "max" {
			t.Errorf("%s: %+v", body, out)
		}
	}
}

// grantWith is a good answer with one more member.
func grantWith(member string) []byte {
	return answer(200, `{"access_token":"`+newAccess+`","refresh_token":"`+newRefresh+`",`+member+`}`)
}

// R13: a strange lifetime spoils nothing, and a good one is believed.
func TestR13Lifetimes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"28800":                      8 * time.Hour,
		"1":                          time.Second,
		"90.5":                       90*time.Second + 500*time.Millisecond,
		"2.88e4":                     8 * time.Hour,
		"31536000":                   365 * 24 * time.Hour,
		"0":                          0,
		"0.5":                        0,
		"-1":                         0,
		"-0":                         0,
		"315360000":                  0, // ten years
		"1e400":                      0,
		"-1e400":                     0,
		"1e308":                      0,
		"99999999999999999999999999": 0,
		`"28800"`:                    0,
		`"NaN"`:                      0,
		"true":                       0,
		"{}":                         0,
		"[1]":                        0,
		"null":                       0,
	} {
		out := parse(t, grantWith(`"expires_in":`+text))
		if out.Verdict != evercred.Granted || out.Lifetime != want || (want == 0) != (len(out.Strange) == 1) {
			t.Errorf("expires_in %s: %+v, want %v", text, out, want)
		}
		if expires := out.Credential.Expires; want == 0 && !expires.IsZero() || want != 0 && !expires.Equal(arrived.Add(want)) {
			t.Errorf("expires_in %s: ends %v", text, expires)
		}
	}
	if out := parse(t, answer(200, `{"access_token":"`+newAccess+`"}`)); out.Verdict != evercred.Granted || out.Lifetime != 0 || len(out.Strange) != 1 {
		t.Errorf("absent: %+v", out)
	}
	for _, text := range []string{"0", "-3", `"x"`, "1e300"} {
		out := parse(t, grantWith(`"expires_in":60,"refresh_token_expires_in":`+text))
		if out.Verdict != evercred.Granted || !out.Credential.Deadline.Equal(login().Deadline) || len(out.Strange) != 1 {
			t.Errorf("refresh_token_expires_in %s: %+v", text, out)
		}
	}
	for _, text := range []string{`["a"]`, `7`, `"a\nb"`, `" "`} {
		out := parse(t, grantWith(`"expires_in":60,"scope":`+text))
		if out.Verdict != evercred.Granted || !slices.Equal(out.Credential.Scopes, login().Scopes) || len(out.Strange) != 1 {
			t.Errorf("scope %s: %+v", text, out)
		}
	}
}

// R10 to R14, INTEROP §4: what each answer means.
func TestVerdicts(t *testing.T) {
	const (
		access  = `"access_token":"` + newAccess + `"`
		refresh = `"refresh_token":"` + newRefresh + `"`
	)
	html := "<!DOCTYPE html><html>invalid_grant</html>"
	raw := func(status int, kind, body string) []byte {
		return bytes.Replace(answer(status, body), []byte("application/json"), []byte(kind), 1)
	}
	for name, tc := range map[string]struct {
		raw  []byte
		want evercred.Verdict
	}{
		// R10: the one form of a refusal.
		"invalid_grant 400":            {answer(400, `{"error":"invalid_grant","error_description":"x"}`), evercred.Refused},
		"invalid_grant 401":            {answer(401, ` {"error":"invalid_grant"} `), evercred.Refused},
		"invalid_grant as text/plain":  {raw(400, "text/plain", `{"error":"invalid_grant"}`), evercred.Refused},
		"invalid_grant escaped":        {answer(400, `{"error":"invalid\u005fgrant"}`), evercred.Refused},
		"invalid_grant last":           {answer(400, `{"error":"x","error":"invalid_grant"}`), evercred.Refused},
		"invalid_grant first":          {answer(400, `{"error":"invalid_grant","error":"x"}`), evercred.Foreign},
		"invalid_grant 403":            {answer(403, `{"error":"invalid_grant"}`), evercred.Foreign},
		"invalid_grant 200":            {answer(200, `{"error":"invalid_grant"}`), evercred.Unknown},
		"invalid_grant 500":            {answer(500, `{"error":"invalid_grant"}`), evercred.Unknown},
		"invalid_grant 429":            {answer(429, `{"error":"invalid_grant"}`), evercred.Limited},
		"invalid_grant nested":         {answer(400, `{"type":"error","error":{"type":"invalid_grant"}}`), evercred.Foreign},
		"invalid_grant in a list":      {answer(400, `[{"error":"invalid_grant"}]`), evercred.Foreign},
		"invalid_grant capital":        {answer(400, `{"Error":"invalid_grant"}`), evercred.Foreign},
		"INVALID_GRANT":                {answer(400, `{"error":"INVALID_GRANT"}`), evercred.Foreign},
		"invalid_grant and more":       {answer(400, `{"error":"invalid_grant"} x`), evercred.Foreign},
		"invalid_grant malformed":      {answer(400, `{"error":"invalid_grant" x}`), evercred.Foreign},
		"invalid_grant bare":           {answer(400, `"invalid_grant"`), evercred.Foreign},
		"invalid_grant cut by HTTP":    {answer(400, `{"error":"invalid_grant"}   `)[:len(answer(400, `{"error":"invalid_grant"}   `))-1], evercred.Unknown},
		"invalid_grant cut in JSON":    {answer(400, `{"error":"invalid_grant","a":`), evercred.Unknown},
		"invalid_request of Anthropic": {answer(400, `{"type":"error","error":{"type":"invalid_request_error","message":"m"}}`), evercred.Foreign},
		"invalid_scope":                {answer(400, `{"error":"invalid_scope"}`), evercred.Foreign},
		"invalid_client":               {answer(401, `{"error":"invalid_client"}`), evercred.Foreign},
		"400 empty":                    {answer(400, ""), evercred.Foreign},
		"400 HTML":                     {raw(400, "text/html", html), evercred.Foreign},

		// R11
		"429": {answer(429, "", "Retry-After: 3600"), evercred.Limited},
		"408": {answer(408, ""), evercred.Limited},

		// R12
		"Cloudflare":             {raw(403, "text/html", html), evercred.Foreign},
		"1010":                   {answer(403, "error code: 1010"), evercred.Foreign},
		"404":                    {answer(404, ""), evercred.Foreign},
		"captive portal":         {raw(200, "text/html; charset=utf-8", html), evercred.Foreign},
		"captive portal as JSON": {answer(200, " \n"+html), evercred.Foreign},
		"captive portal, odd":    {raw(200, "TEXT/HTML", "please log in"), evercred.Foreign},
		"200 HTML type, error":   {raw(200, "text/html", `{"error":"x"}`), evercred.Unknown},
		"200 HTML type, good":    {raw(200, "text/html", goodBody), evercred.Granted},
		"200 HTML type, empty":   {raw(200, "text/html", ""), evercred.Unknown},

		// R13
		"error and tokens":     {answer(200, `{"error":"x",`+access+`}`), evercred.Unknown},
		"error and successor":  {answer(200, `{"error":"x",`+access+`,`+refresh+`}`), evercred.Committed},
		"error empty":          {answer(200, `{"error":"",`+access+`}`), evercred.Unknown},
		"no body":              {answer(200, ""), evercred.Unknown},
		"204":                  {[]byte("HTTP/1.1 204 No Content\r\n\r\n"), evercred.Unknown},
		"201":                  {answer(201, goodBody), evercred.Granted},
		"empty token":          {answer(200, `{"access_token":""}`), evercred.Unknown},
		"empty token, rotated": {answer(200, `{"access_token":"",`+refresh+`}`), evercred.Committed},
		"same refresh, no use": {answer(200, `{"refresh_token":"`+oldRefresh+`"}`), evercred.Unknown},
		"null token":           {answer(200, `{"access_token":null}`), evercred.Unknown},
		"number token":         {answer(200, `{"access_token":17}`), evercred.Unknown},
		"control characters":   {answer(200, `{"access_token":"a\r\nX: y"}`), evercred.Unknown},
		"space":                {answer(200, `{"access_token":"a b"}`), evercred.Unknown},
		"beyond ASCII":         {answer(200, `{"access_token":"a\u00e9"}`), evercred.Unknown},
		"refresh control":      {answer(200, `{`+access+`,"refresh_token":"a\u0000"}`), evercred.Unknown},
		"refresh number":       {answer(200, `{`+access+`,"refresh_token":1}`), evercred.Unknown},
		"mac":                  {answer(200, `{`+access+`,"token_type":"mac"}`), evercred.Unknown},
		"mac, rotated":         {answer(200, `{`+access+`,`+refresh+`,"token_type":"mac"}`), evercred.Committed},
		"type number":          {answer(200, `{`+access+`,"token_type":1}`), evercred.Unknown},
		"type empty":           {answer(200, `{`+access+`,"token_type":""}`), evercred.Unknown},
		"not an object":        {answer(200, `["`+newAccess+`"]`), evercred.Unknown},
		"not JSON":             {answer(200, `access_token=x&refresh_token=y`), evercred.Unknown},
		"malformed":            {answer(200, `{`+access+` x}`), evercred.Unknown},
		"malformed, rotated":   {answer(200, `{`+access+`,`+refresh+` x}`), evercred.Committed},
		"capital names":        {answer(200, `{"Access_Token":"x"}`), evercred.Unknown},
		"nested tokens":        {answer(200, `{"data":{`+access+`,`+refresh+`}}`), evercred.Unknown},
		"deep":                 {answer(200, `{"a":`+strings.Repeat("[", 20000)), evercred.Unknown},
		"byte order mark":      {answer(200, "\xef\xbb\xbf"+goodBody), evercred.Granted},
		"something follows":    {answer(200, goodBody+"\n{}"), evercred.Granted},

		// R14
		"302": {answer(302, "", "Location: https://example.com/"), evercred.Foreign},
		"307": {answer(307, goodBody, "Location: /"), evercred.Foreign},
		"101": {answer(101, goodBody), evercred.Foreign},
		"999": {answer(999, goodBody), evercred.Foreign},

		// R9
		"500":            {answer(500, goodBody), evercred.Unknown},
		"502 HTML":       {raw(502, "text/html", html), evercred.Unknown},
		"529":            {answer(529, ""), evercred.Unknown},
		"nothing":        {nil, evercred.Unknown},
		"not HTTP":       {[]byte("SSH-2.0-x\r\n"), evercred.Unknown},
		"interim alone":  {[]byte("HTTP/1.1 100 Continue\r\n\r\n"), evercred.Unknown},
		"interim, final": {append([]byte("HTTP/1.1 100 Continue\r\n\r\n"), answer(200, goodBody)...), evercred.Granted},
		"two lengths":    {answer(200, goodBody, "Content-Length: 3"), evercred.Unknown},
		"gzip":           {zipped(goodBody, 0), evercred.Granted},
		"gzip cut":       {zipped(goodBody, 8), evercred.Granted},
		"gzip cut early": {zipped(goodBody, 150), evercred.Unknown},
		"gzip not":       {answer(200, goodBody, "Content-Encoding: gzip"), evercred.Granted},
	} {
		t.Run(name, func(t *testing.T) {
			out := parse(t, tc.raw)
			if out.Verdict != tc.want {
				t.Errorf("verdict %d, want %d: %+v", out.Verdict, tc.want, out)
			}
			check(t, out)
		})
	}
}

// zipped is an answer compressed by a box on the way, with the last n bytes missing.
func zipped(body string, n int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(body))
	z.Close()
	raw := answer(200, b.String(), "Content-Encoding: gzip")
	return raw[:len(raw)-n]
}

// check holds what is true of every outcome.
func check(t *testing.T, out evercred.Outcome) {
	t.Helper()
	if (out.Err == nil) != (out.Verdict == evercred.Granted) {
		t.Errorf("verdict %d with error %v", out.Verdict, out.Err)
	}
	if out.Err != nil && !out.Credential.Access.IsZero() {
		t.Error("a credential of an answer that was not granted")
	}
	said := fmt.Sprint(out.Strange, " ", out.Err)
	for _, secret := range []string{oldAccess, oldRefresh, newAccess, newRefresh} {
		if strings.Contains(said, secret) {
			t.Errorf("a secret is repeated: %s", said)
		}
	}
}

// R9: the answer is cut after each byte; it is usable exactly when both tokens
// are complete, and never a refusal.
func TestR9CutAfterEachByte(t *testing.T) {
	other := `{"refresh_token":"` + newRefresh + `","expires_in":28800,"access_token":"` + newAccess + `","scope":"a b"}`
	for name, full := range map[string][]byte{
		"length":       answer(200, goodBody),
		"chunked":      []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(goodBody)),
		"until close":  []byte("HTTP/1.1 200 OK\r\n\r\n" + goodBody),
		"other order":  answer(200, other),
		"tokens first": answer(200, `{"access_token":"`+newAccess+`","refresh_token":"`+newRefresh+`","expires_in":28800,"refresh_token_expires_in":2592000}`),
	} {
		t.Run(name, func(t *testing.T) {
			for k := range len(full) + 1 {
				access := bytes.Contains(full[:k], []byte(newAccess+`"`))
				refresh := bytes.Contains(full[:k], []byte(newRefresh+`"`))
				want := evercred.Unknown
				if access && refresh {
					want = evercred.Granted
				}
				out := parse(t, full[:k])
				if out.Verdict != want {
					t.Fatalf("cut after %d of %d (%q): verdict %d, want %d", k, len(full), full[max(0, k-20):k], out.Verdict, want)
				}
				check(t, out)
				if want != evercred.Granted {
					continue
				}
				if out.Credential.Access.Reveal() != newAccess || out.Credential.Refresh.Reveal() != newRefresh {
					t.Fatalf("cut after %d: other tokens", k)
				}
				if out.Lifetime != 0 && out.Lifetime != 8*time.Hour {
					t.Fatalf("cut after %d: half a lifetime %v", k, out.Lifetime)
				}
				if d := out.Credential.Deadline; !d.Equal(login().Deadline) && !d.Equal(arrived.Add(30*24*time.Hour)) {
					t.Fatalf("cut after %d: half a deadline %v", k, d)
				}
				if whole := k == len(full); whole == slices.Contains(out.Strange, "the answer is truncated") {
					t.Fatalf("cut after %d: %q", k, out.Strange)
				}
			}
		})
	}
}

// R10: a refusal that is cut anywhere convicts nobody.
func TestR10CutRefusal(t *testing.T) {
	full := answer(400, `{"error":"invalid_grant","error_description":"Refresh token not found or invalid"}`)
	for k := range full {
		if out := parse(t, full[:k]); out.Verdict != evercred.Unknown {
			t.Fatalf("cut after %d: verdict %d", k, out.Verdict)
		}
	}
	if out := parse(t, full); out.Verdict != evercred.Refused || out.Err.Error() != "the token endpoint answered 400 invalid_grant (Refresh token not found or invalid)" {
		t.Errorf("%v", out.Err)
	}
}

// R11: Retry-After in every shape.
func TestR11RetryAfter(t *testing.T) {
	for value, want := range map[string]time.Time{
		"3600":                           arrived.Add(time.Hour),
		" 7 ":                            arrived.Add(7 * time.Second),
		"0":                              {},
		"":                               {},
		"soon":                           {},
		"-5":                             {},
		"1.5":                            {},
		"1, 2":                           {},
		"315360000":                      arrived.Add(315360000 * time.Second),
		"18446744073709551615":           arrived.Add(100 * 366 * 24 * time.Hour),
		"99999999999999999999999999999":  arrived.Add(100 * 366 * 24 * time.Hour),
		"Mon, 06 May 2030 07:09:09 GMT":  arrived.Add(time.Minute),
		"Monday, 06-May-30 07:09:09 GMT": arrived.Add(time.Minute),
		"Mon, 06 May 2030 07:08:09 GMT":  {},
		"Mon, 06 May 2019 07:08:09 GMT":  {},
		"Fri, 31 Dec 9999 23:59:59 GMT":  time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		for _, status := range []int{429, 503} {
			if got := parse(t, answer(status, "", "Retry-After: "+value)).Err.RetryAfter; !got.Equal(want) {
				t.Errorf("%d %q: %v, want %v", status, value, got, want)
			}
		}
	}
}

// S2: an endpoint that echoes what it was sent, in every disguise.
func TestS2Echo(t *testing.T) {
	for name, body := range map[string]string{
		"description":   `{"error":"invalid_grant","error_description":"token ` + oldRefresh + ` is unknown"}`,
		"code":          `{"error":"` + oldRefresh + `"}`,
		"access":        `{"error":"x","error_description":"` + oldAccess + `"}`,
		"another token": `{"error":"x","error_description":"not sk-ant-ort01-test-somebody-else"}`,
		"in pieces":     `{"error":"x","error_description":"sk-ant-ort01-\u0000test-old-refr\u200besh"}`,
		"part":          `{"error":"x","error_description":"` + oldRefresh[:24] + `"}`,
		"upper case":    `{"error":"x","error_description":"` + strings.ToUpper(oldRefresh) + `"}`,
		"encoded":       `{"error":"x","error_description":"refresh_token%3D` + strings.ReplaceAll(oldRefresh, "-", "%2D") + `"}`,
	} {
		out := parse(t, answer(400, body))
		said := strings.ToLower(out.Err.Code + out.Err.Description + out.Err.Error())
		if strings.Contains(said, "ort01") || strings.Contains(said, "oat01") || !strings.Contains(said, evercred.Redacted) {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// A short token has no shape; it is known all the same.
func TestS2ShortToken(t *testing.T) {
	sent := evercred.Credential{Refresh: evercred.NewSecret("rt one"), Access: evercred.NewSecret("at1")}
	out := parser(t).Parse(evercred.NewAnswer(answer(400, `{"error":"no rt one","error_description":"at1 and rt one"}`), arrived), sent)
	if out.Err.Code != "no [redacted]" || out.Err.Description != "[redacted] and [redacted]" {
		t.Errorf("%q %q", out.Err.Code, out.Err.Description)
	}
}

// What the endpoint says is kept, short and printable.
func TestRefreshErrorCaps(t *testing.T) {
	for code, want := range map[string]string{
		"unsupported_grant_type":    "unsupported_grant_type",
		"temporarily_unavailable":   "temporarily_unavailable",
		`quo\"te\\d\u0007\u00e9`:    "quoted",
		strings.Repeat("a_", 100):   strings.Repeat("a_", 32),
		strings.Repeat("Aa1.", 100): evercred.Redacted,
	} {
		if got := parse(t, answer(400, `{"error":"`+code+`"}`)).Err.Code; got != want {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
	long := parse(t, answer(400, `{"error":"x","error_description":"`+strings.Repeat(`a\n\u001b[31m\u202e\u00e9 `, 100)+`"}`)).Err
	if n := utf8.RuneCountInString(long.Description); n != 200 || strings.ContainsAny(long.Description, "\n\x1b\u202e") {
		t.Errorf("%d characters: %q", n, long.Description)
	}
	if long.Host != "platform.claude.com" || long.Status != 400 {
		t.Errorf("%+v", long)
	}
	if e := parse(t, nil).Err; e.Status != 0 || e.Error() != "no usable answer from the token endpoint" {
		t.Errorf("%v", e)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(answer(200, goodBody))
	f.Add(answer(200, goodBody)[:230])
	f.Add(answer(400, `{"error":"invalid_grant","error_description":"`+oldRefresh+`"}`))
	f.Add(answer(429, "", "Retry-After: 3600"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(goodBody)))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"a\\u0000\",\"expires_in\":1e400}"))
	f.Add(zipped(goodBody, 8))
	c := parser(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		out := c.Parse(evercred.NewAnswer(raw, arrived), login())
		if !bytes.Equal(raw, before) {
			t.Fatal("the answer was changed")
		}
		got := out.Credential
		switch out.Verdict {
		case evercred.Granted:
			if _, err := evercred.NewToken(got.Access.Reveal(), nil); err != nil {
				t.Fatalf("granted a token that cannot stand in a header: %v", err)
			}
			if got.Refresh.IsZero() || out.Lifetime < 0 || out.Lifetime > 366*24*time.Hour {
				t.Fatalf("granted %+v", out)
			}
			if out.Rotated == got.Refresh.Equal(login().Refresh) {
				t.Fatal("Rotated is wrong")
			}
		case evercred.Refused:
			if s := out.Err.Status; s != 400 && s != 401 || out.Err.Code != "invalid_grant" {
				t.Fatalf("refused by %+v", out.Err)
			}
		}
		if (out.Err == nil) != (out.Verdict == evercred.Granted) {
			t.Fatalf("%+v", out)
		}
		if out.Err != nil && (len(out.Err.Code) > maxCode || utf8.RuneCountInString(out.Err.Description) > maxDescription ||
			strings.Contains(out.Err.Error(), oldRefresh) || strings.Contains(out.Err.Error(), oldAccess)) {
			t.Fatalf("%+v", out.Err)
		}
	})
}
