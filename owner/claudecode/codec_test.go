package claudecode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/credjson"
)

const (
	testAccess  = "sk-ant-oat01-test-access"
	testRefresh = "sk-ant-ort01-test-refresh"
	testExpires = 1_893_456_000_000 // the first second of 2030, in milliseconds
	mark        = "\ufeff"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// login is a document with this section.
func login(members string) []byte { return []byte(`{"claudeAiOauth":{` + members + `}}`) }

// with is a good login with more members; of duplicates the last counts.
func with(members string) []byte {
	return login(`"accessToken":"` + testAccess + `","refreshToken":"` + testRefresh + `","expiresAt":1893456000000,` + members)
}

func mustDecode(t *testing.T, doc []byte) evercred.Credential {
	t.Helper()
	c, err := Codec{}.Decode(doc)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return c
}

func TestDecodeFixtures(t *testing.T) {
	const client = "00000000-test-4000-8000-client000000"
	two := []string{"user:inference", "user:profile"}
	five := []string{"user:file_upload", "user:inference", "user:mcp_servers", "user:profile", "user:sessions:claude_code"}
	deadline := time.UnixMilli(1_895_875_200_000)
	tests := []struct {
		file               string
		scopes             []string
		deadline           time.Time
		plan, tier, client string
		notes              int
	}{
		{file: "v1.0.json", scopes: two},
		{file: "v2.0-pretty.json", scopes: two, plan: "max"},
		{file: "v2.1.json", scopes: five, deadline: deadline, plan: "max", tier: "default_claude_max_20x", client: client},
		{file: "v2.1-pretty.json", scopes: five, deadline: deadline, plan: "max", tier: "default_claude_max_20x", client: client},
		{file: "v2.1-mcp.json", scopes: five, deadline: deadline, plan: "max", tier: "default_claude_max_20x", client: client},
		{file: "v2.1-23k.json", scopes: five, deadline: deadline, plan: "max", tier: "default_claude_max_20x", client: client},
		{file: "bom.json", scopes: two, plan: "max"},
		{file: "odd.json", scopes: two, notes: 1},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			c := mustDecode(t, fixture(t, test.file))
			if c.Access.Reveal() != testAccess || c.Refresh.Reveal() != testRefresh || c.Blanked {
				t.Errorf("tokens %q, %q, blanked %v", c.Access.Reveal(), c.Refresh.Reveal(), c.Blanked)
			}
			if !c.Expires.Equal(time.UnixMilli(testExpires)) || !c.Deadline.Equal(test.deadline) {
				t.Errorf("expires %v, deadline %v", c.Expires, c.Deadline)
			}
			if !slices.Equal(c.Scopes, test.scopes) || len(c.Notes) != test.notes {
				t.Errorf("scopes %q, notes %q", c.Scopes, c.Notes)
			}
			if c.Plan != test.plan || c.Tier != test.tier || c.ClientID != test.client {
				t.Errorf("plan %q, tier %q, client %q", c.Plan, c.Tier, c.ClientID)
			}
			if got := c.Companions.Get("anthropic-beta"); got != OAuthBeta {
				t.Errorf("companion %q", got)
			}
		})
	}
}

func TestDecodeBadInput(t *testing.T) { // F6
	notFound, unsafe := evercred.ErrNotFound, evercred.ErrUnsafe
	tests := []struct {
		name string
		doc  []byte
		want error
	}{
		{"empty file", nil, unsafe},
		{"white space", []byte(" \n"), unsafe},
		{"truncated", fixture(t, "v2.1.json")[:200], unsafe},
		{"one byte short", []byte(`{"claudeAiOauth":{}`), unsafe},
		{"trailing bytes", append(fixture(t, "v1.0.json"), `"}]}`...), unsafe},
		{"trailing NULs", append(fixture(t, "v1.0.json"), 0, 0, 0), unsafe},
		{"all NULs", make([]byte, 4096), unsafe},
		{"UTF-16", utf16(fixture(t, "v1.0.json")), unsafe},
		{"root array", []byte(`[{"claudeAiOauth":{}}]`), unsafe},
		{"root string", []byte(`"claudeAiOauth"`), unsafe},
		{"root null", []byte(`null`), unsafe},
		{"string section", []byte(`{"claudeAiOauth":"` + testAccess + `"}`), unsafe},
		{"array section", []byte(`{"claudeAiOauth":[]}`), unsafe},
		{"false section", []byte(`{"claudeAiOauth":false}`), unsafe},
		{"20,000 deep", []byte(`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`), unsafe},
		{"number as access token", with(`"accessToken":12345`), unsafe},
		{"number as refresh token", with(`"refreshToken":12345`), unsafe},
		{"object as access token", with(`"accessToken":{"value":"` + testAccess + `"}`), unsafe},
		{"false as refresh token", with(`"refreshToken":false`), unsafe},
		{"line break in the access token", with(`"accessToken":"` + testAccess + `\r\nX-Evil: 1"`), unsafe},
		{"raw control character", with("\"accessToken\":\"" + testAccess + "\x01\""), unsafe},
		{"NUL in the access token", with(`"accessToken":"` + testAccess + `\u0000"`), unsafe},
		{"DEL in the access token", with(`"accessToken":"` + testAccess + `\u007f"`), unsafe},
		{"space in the access token", with(`"accessToken":"` + testAccess + ` x"`), unsafe},
		{"letter beyond ASCII in the access token", with(`"accessToken":"` + testAccess + `é"`), unsafe},
		{"not UTF-8 in the access token", with("\"accessToken\":\"" + testAccess + "\xff\""), unsafe},
		{"line break in the refresh token", with(`"refreshToken":"` + testRefresh + `\n"`), unsafe},

		{"empty object", []byte(`{}`), notFound},
		{"null section", []byte(`{"claudeAiOauth":null}`), notFound},
		{"null after a login", append(bytes.TrimSuffix(fixture(t, "v1.0.json"), []byte("}")), `,"claudeAiOauth":null}`...), notFound},
		{"only mcpOAuth", fixture(t, "other-only.json"), notFound},
		{"the name deeper down", []byte(`{"x":` + string(fixture(t, "v1.0.json")) + `}`), notFound},
		{"another case", []byte(`{"claudeaioauth":{"accessToken":"` + testAccess + `"}}`), notFound},
		{"empty section", []byte(`{"claudeAiOauth":{}}`), notFound},
		{"null tokens", login(`"accessToken":null,"refreshToken":null,"expiresAt":0`), notFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Codec{}.Decode(test.doc)
			checkError(t, err, test.want)
			out, err := Codec{}.Encode(test.doc, granted())
			checkError(t, err, test.want)
			if out != nil {
				t.Error("Encode made a document of it")
			}
		})
	}
}

// checkError: the sentinel with its reason, and no secret in the text.
func checkError(t *testing.T, err, want error) {
	t.Helper()
	reasons := map[error]evercred.Reason{evercred.ErrNotFound: evercred.ReasonNoSection, evercred.ErrUnsafe: evercred.ReasonUnreadable}
	var typed *evercred.Error
	if !errors.Is(err, want) || !errors.As(err, &typed) || typed.Reason != reasons[want] {
		t.Fatalf("got %v, want %v (%s)", err, want, reasons[want])
	}
	for _, secret := range []string{"sk-ant", "test-access", "12345", "Evil"} {
		if strings.Contains(fmt.Sprintf("%v %+v", err, typed), secret) {
			t.Errorf("the error shows the document: %v", err)
		}
	}
}

func utf16(doc []byte) []byte {
	wide := []byte("\xff\xfe")
	for _, b := range doc {
		wide = append(wide, b, 0)
	}
	return wide
}

func TestDecodeTimes(t *testing.T) {
	epoch := time.UnixMilli(0)
	tests := []struct {
		members string
		expires time.Time
		notes   int
	}{
		{`"expiresAt":1893456000000`, time.UnixMilli(testExpires), 0},
		{`"expiresAt":1893456000000.987`, time.UnixMilli(testExpires), 0},
		{`"expiresAt":1.893456e12`, time.UnixMilli(testExpires), 0},
		{`"expiresAt":null`, time.Time{}, 1},
		{`"expiresAt":"1893456000000"`, time.Time{}, 1},
		{`"expiresAt":"NaN"`, time.Time{}, 1},
		{`"expiresAt":[]`, time.Time{}, 1},
		{`"expiresAt":true`, time.Time{}, 1},
		{`"expiresAt":0`, epoch, 1},
		{`"expiresAt":-0.5`, epoch, 1},
		{`"expiresAt":-62135596800000`, epoch, 1}, // Go's zero time, which would mean unknown
		{`"expiresAt":-1e400`, epoch, 1},
		{`"expiresAt":1893456000`, time.UnixMilli(1_893_456_000), 1}, // seconds: 1970
		{`"expiresAt":1e400`, epoch, 1},
		{`"expiresAt":1e30`, epoch, 1},
		{`"expiresAt":253402300800000`, epoch, 1},
		{`"expiresAt":253402300799999`, time.UnixMilli(253_402_300_799_999), 0},
		{`"expiresAt":99999999999999999999999999`, epoch, 1},
	}
	for _, test := range tests {
		c := mustDecode(t, with(test.members))
		if !c.Expires.Equal(test.expires) || c.Expires.IsZero() != test.expires.IsZero() || len(c.Notes) != test.notes {
			t.Errorf("%s: got %v, notes %q", test.members, c.Expires, c.Notes)
		}
		if _, err := c.Expires.MarshalJSON(); err != nil {
			t.Errorf("%s: status --json could not print it: %v", test.members, err)
		}
	}
	if c := mustDecode(t, login(`"accessToken":"`+testAccess+`"`)); !c.Expires.IsZero() || len(c.Notes) != 1 {
		t.Errorf("no expiresAt: got %v, notes %q", c.Expires, c.Notes)
	}
}

// A wrong deadline would end a login that lives, so it is unknown; a passed one is told.
func TestDecodeDeadline(t *testing.T) {
	tests := []struct {
		members string
		want    time.Time
		notes   int
	}{
		{`"x":1`, time.Time{}, 0},
		{`"refreshTokenExpiresAt":null`, time.Time{}, 0},
		{`"refreshTokenExpiresAt":1577836800000`, time.UnixMilli(1_577_836_800_000), 0}, // passed in 2020
		{`"refreshTokenExpiresAt":1895875200000.5`, time.UnixMilli(1_895_875_200_000), 0},
		{`"refreshTokenExpiresAt":0`, time.Time{}, 1},
		{`"refreshTokenExpiresAt":-1`, time.Time{}, 1},
		{`"refreshTokenExpiresAt":1895875200`, time.Time{}, 1},
		{`"refreshTokenExpiresAt":1e400`, time.Time{}, 1},
		{`"refreshTokenExpiresAt":"1895875200000"`, time.Time{}, 1},
	}
	for _, test := range tests {
		c := mustDecode(t, with(test.members))
		if !c.Deadline.Equal(test.want) || len(c.Notes) != test.notes {
			t.Errorf("%s: got %v, notes %q", test.members, c.Deadline, c.Notes)
		}
	}
}

// The states of INTEROP §2 that have a section.
func TestDecodeStates(t *testing.T) {
	tests := []struct {
		name            string
		doc             []byte
		access, refresh string
		blanked         bool
	}{
		{"blanked", fixture(t, "blanked.json"), "", "", true},
		{"blanked, never had a refresh token", login(`"accessToken":"","refreshToken":null`), "", "", true},
		{"blanked, without expiresAt", login(`"accessToken":"","refreshToken":""`), "", "", true},
		{"refresh token absent", login(`"accessToken":"` + testAccess + `","expiresAt":1`), testAccess, "", false},
		{"refresh token null", with(`"refreshToken":null`), testAccess, "", false},
		{"refresh token empty", with(`"refreshToken":""`), testAccess, "", false},
		{"access token empty", with(`"accessToken":""`), "", testRefresh, false},
		{"access token null", with(`"accessToken":null`), "", testRefresh, false},
		{"duplicates: the last counts", with(`"accessToken":"a","accessToken":"b"`), "b", testRefresh, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := mustDecode(t, test.doc)
			if c.Access.Reveal() != test.access || c.Refresh.Reveal() != test.refresh || c.Blanked != test.blanked {
				t.Errorf("got %q, %q, blanked %v", c.Access.Reveal(), c.Refresh.Reveal(), c.Blanked)
			}
			if c.Access.IsZero() && (c.Expires.IsZero() || c.Expires.After(time.UnixMilli(testExpires-1))) {
				t.Errorf("no access token, yet it does not count as expired: %v", c.Expires)
			}
		})
	}
}

func TestDecodeScopesAndLabels(t *testing.T) {
	tests := []struct {
		members string
		scopes  []string
		plan    string
		notes   int
	}{
		{`"scopes":["a:b","c"]`, []string{"a:b", "c"}, "", 0},
		{`"scopes":"a:b  c"`, []string{"a:b", "c"}, "", 1},
		{`"scopes":[]`, nil, "", 0},
		{`"scopes":null`, nil, "", 0},
		{`"scopes":["a",1]`, nil, "", 1},
		{`"scopes":["a",null]`, nil, "", 1},
		{`"scopes":["a b"]`, nil, "", 1},
		{`"scopes":["\u001b[31m"]`, nil, "", 1},
		{`"scopes":{"a":1}`, nil, "", 1},
		{`"subscriptionType":"pro"`, nil, "pro", 0},
		{`"subscriptionType":null`, nil, "", 0},
		{`"subscriptionType":7`, nil, "", 1},
		{`"subscriptionType":"\u001b[31mred"`, nil, "", 1}, // what status would print
	}
	for _, test := range tests {
		c := mustDecode(t, with(test.members))
		if !slices.Equal(c.Scopes, test.scopes) || c.Plan != test.plan || len(c.Notes) != test.notes {
			t.Errorf("%s: scopes %q, plan %q, notes %q", test.members, c.Scopes, c.Plan, c.Notes)
		}
	}
}

// granted is what a grant gives, with characters that need care in JSON.
func granted() evercred.Credential {
	return evercred.Credential{
		Access:  evercred.NewSecret(`sk-ant-oat01-test-new<&>"\`),
		Refresh: evercred.NewSecret("sk-ant-ort01-test-new"),
		Expires: time.UnixMilli(1_893_484_800_123).Add(456 * time.Microsecond),
	}
}

// Each document is edited by hand, too: by replacing text that occurs once. F1.
func TestEncodeTouchesNothingElse(t *testing.T) {
	const newAccess, newRefresh, newExpires = `"sk-ant-oat01-test-new<&>\"\\"`, `"sk-ant-ort01-test-new"`, `1893484800123`
	plain := []string{`"` + testAccess + `"`, newAccess, `"` + testRefresh + `"`, newRefresh}
	tests := []struct {
		file     string
		replaced []string // old, new, old, new
	}{
		{"v1.0.json", append(plain, `1893456000000,"scopes"`, newExpires+`,"scopes"`)},
		{"v2.0-pretty.json", append(plain, "1893456000000", newExpires)},
		{"v2.1.json", append(plain, "1893456000000", newExpires)},
		{"v2.1-pretty.json", append(plain, "1893456000000", newExpires)},
		{"v2.1-mcp.json", append(plain, `1893456000000,"refresh`, newExpires+`,"refresh`)},
		{"v2.1-23k.json", append(plain, `1893456000000,"refresh`, newExpires+`,"refresh`)},
		{"bom.json", append(plain, "1893456000000", newExpires)},
		{"odd.json", []string{`"` + testAccess + `"`, newAccess, `"sk-ant-ort01\u002dtest-refresh"`, newRefresh, "1893456000000.75", newExpires}},
		{"blanked.json", []string{`"accessToken":""`, `"accessToken":` + newAccess, `"refreshToken":""`, `"refreshToken":` + newRefresh, `"expiresAt":0`, `"expiresAt":` + newExpires}},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			doc := fixture(t, test.file)
			want := string(doc)
			for i := 0; i < len(test.replaced); i += 2 {
				if strings.Count(want, test.replaced[i]) != 1 {
					t.Fatalf("%s does not occur once", test.replaced[i])
				}
				want = strings.Replace(want, test.replaced[i], test.replaced[i+1], 1)
			}
			got, err := Codec{}.Encode(doc, granted())
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			checkRoundTrip(t, got, granted())
			if !bytes.Equal(doc, fixture(t, test.file)) {
				t.Error("Encode changed its argument")
			}
		})
	}
}

// checkRoundTrip: the document says what was saved.
func checkRoundTrip(t *testing.T, doc []byte, saved evercred.Credential) {
	t.Helper()
	c := mustDecode(t, doc)
	if !c.Access.Equal(saved.Access) || c.Blanked || !c.Expires.Equal(saved.Expires.Truncate(time.Millisecond)) {
		t.Errorf("the document does not say what was saved: %q, %v", c.Access.Reveal(), c.Expires)
	}
	if !saved.Refresh.IsZero() && !c.Refresh.Equal(saved.Refresh) {
		t.Errorf("refresh token %q", c.Refresh.Reveal())
	}
	if !saved.Deadline.IsZero() && !c.Deadline.Equal(saved.Deadline.Truncate(time.Millisecond)) {
		t.Errorf("deadline %v, saved %v", c.Deadline, saved.Deadline)
	}
	if saved.Scopes != nil && !slices.Equal(c.Scopes, saved.Scopes) {
		t.Errorf("scopes %q, saved %q", c.Scopes, saved.Scopes)
	}
}

// What Decode gave is there already: nothing is written, not even in another spelling.
func TestEncodeOfDecodeIsIdentical(t *testing.T) {
	docs := [][]byte{with(`"expiresAt":"never","scopes":"a b"`), with(`"expiresAt":-7.5,"refreshToken":null`), with(`"expiresAt":1e400,"scopes":{}`), with(`"accessToken":"\u0041","refreshToken":"\u0042\/"`)}
	for _, name := range fixtures(t) {
		if name != "blanked.json" && name != "other-only.json" {
			docs = append(docs, fixture(t, name))
		}
	}
	for _, doc := range docs {
		got, err := Codec{}.Encode(doc, mustDecode(t, doc))
		if err != nil || !bytes.Equal(got, doc) {
			t.Errorf("%.80s: got %.80s, %v", doc, got, err)
		}
	}
}

func TestEncodeMembers(t *testing.T) {
	c := granted()
	c.Access, c.Refresh, c.Expires = evercred.NewSecret("A"), evercred.NewSecret("R"), time.UnixMilli(testExpires)
	full := c
	full.Scopes, full.Deadline = []string{"x:y", "<z>"}, time.UnixMilli(1_895_875_200_000)
	unknown := c
	unknown.Expires = time.Time{}
	emptied := c
	emptied.Scopes = []string{}
	norefresh := c
	norefresh.Refresh = evercred.Secret{}
	tests := []struct {
		name, section string
		c             evercred.Credential
		want          string
	}{
		{"missing members are added", `{"accessToken":"a"}`, full,
			`{"accessToken":"A","refreshToken":"R","expiresAt":1893456000000,"refreshTokenExpiresAt":1895875200000,"scopes":["x:y","<z>"]}`},
		{"in the style of the others", "{\n\t\"accessToken\": \"a\"\n}", c,
			"{\n\t\"accessToken\": \"A\",\n\t\"refreshToken\": \"R\",\n\t\"expiresAt\": 1893456000000\n}"},
		{"scopes become an array", `{"accessToken":"A","refreshToken":"R","expiresAt":1893456000000,"scopes":"x","refreshTokenExpiresAt":1895875200000}`, full,
			`{"accessToken":"A","refreshToken":"R","expiresAt":1893456000000,"scopes":["x:y","<z>"],"refreshTokenExpiresAt":1895875200000}`},
		{"equal scopes stay as they are", `{"accessToken":"a","refreshToken":"r","expiresAt":0,"scopes":"x:y  <z>","refreshTokenExpiresAt":1895875200000.5}`, full,
			`{"accessToken":"A","refreshToken":"R","expiresAt":1893456000000,"scopes":"x:y  <z>","refreshTokenExpiresAt":1895875200000.5}`},
		{"what is not known is left alone", `{"accessToken":"a","refreshToken":"r","expiresAt":0,"scopes":["s"],"refreshTokenExpiresAt":7}`, c,
			`{"accessToken":"A","refreshToken":"R","expiresAt":1893456000000,"scopes":["s"],"refreshTokenExpiresAt":7}`},
		{"no scopes is not unknown scopes", `{"accessToken":"a","refreshToken":"R","expiresAt":1893456000000,"scopes":["s"]}`, emptied,
			`{"accessToken":"A","refreshToken":"R","expiresAt":1893456000000,"scopes":[]}`},
		{"an unknown end", `{"accessToken":"a","refreshToken":"R","expiresAt":1893456000000}`, unknown,
			`{"accessToken":"A","refreshToken":"R","expiresAt":null}`},
		{"an end that stays unknown", `{"accessToken":"a","refreshToken":"R","expiresAt":"?"}`, unknown,
			`{"accessToken":"A","refreshToken":"R","expiresAt":"?"}`},
		{"a refresh token is never dropped", `{"accessToken":"a","refreshToken":"r","expiresAt":0}`, norefresh,
			`{"accessToken":"A","refreshToken":"r","expiresAt":1893456000000}`},
		{"the last duplicate", `{"accessToken":"A","accessToken":"b","refreshToken":null,"expiresAt":0}`, c,
			`{"accessToken":"A","accessToken":"A","refreshToken":"R","expiresAt":1893456000000}`},
		// A blanked section counts as expired whatever its expiresAt says; what is written does not depend on that.
		{"blanked with an end to come", `{"accessToken":"","refreshToken":"","expiresAt":1893456000000}`, withExpires(c, 0),
			`{"accessToken":"A","refreshToken":"R","expiresAt":0}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const before, after = "{ \"x\":[1.50], \"claudeAiOauth\" : ", "\n,\"mcpOAuth\":{\"refreshToken\":\"other\"}}\n"
			got, err := Codec{}.Encode([]byte(before+test.section+after), test.c)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != before+test.want+after {
				t.Errorf("got  %s\nwant %s", got, before+test.want+after)
			}
			if test.name != "a refresh token is never dropped" {
				checkRoundTrip(t, got, test.c)
			}
		})
	}
}

func withExpires(c evercred.Credential, ms int64) evercred.Credential {
	c.Expires = time.UnixMilli(ms)
	return c
}

// R13: garbage is not stored, and nothing is ever blanked by us.
func TestEncodeRefusesGarbage(t *testing.T) {
	good := granted()
	for name, spoil := range map[string]func(*evercred.Credential){
		"no access token":                   func(c *evercred.Credential) { c.Access = evercred.Secret{} },
		"blanked":                           func(c *evercred.Credential) { *c = evercred.Credential{Blanked: true} },
		"line break in an access token":     func(c *evercred.Credential) { c.Access = evercred.NewSecret("sk-ant\n") },
		"line break in a refresh token":     func(c *evercred.Credential) { c.Refresh = evercred.NewSecret("sk-ant\n") },
		"a refresh token that is not ASCII": func(c *evercred.Credential) { c.Refresh = evercred.NewSecret("sk-ant\xff") },
	} {
		c := good
		spoil(&c)
		got, err := Codec{}.Encode(fixture(t, "v2.1.json"), c)
		if !errors.Is(err, evercred.ErrUnsafe) || got != nil {
			t.Errorf("%s: got %.40q, %v", name, got, err)
		} else if strings.Contains(err.Error(), "sk-ant") {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
}

// A megabyte of other programs' members costs a scan, not a copy.
func TestDecodeCostsLittle(t *testing.T) {
	var neighbours strings.Builder
	for i := 0; neighbours.Len() < 1<<20; i++ {
		fmt.Fprintf(&neighbours, `"server-%d":{"accessToken":"neighbour \u00e9 %d","list":[{"a":1.50},null]},`, i, i)
	}
	doc := []byte(`{"mcpOAuth":{` + neighbours.String() + `"z":0},` + string(fixture(t, "v2.1.json")[1:]))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := mustDecode(t, doc)
	runtime.ReadMemStats(&after)
	if c.Access.Reveal() != testAccess {
		t.Fatalf("got %q", c.Access.Reveal())
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<10 {
		t.Errorf("decoding a document of 1 MiB allocated %d bytes", used)
	}
}

func fixtures(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// oracle decodes the tokens with encoding/json, as a second opinion.
func oracle(doc []byte) (access, refresh string, blanked bool, err error) {
	var root any
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(doc, []byte(mark))))
	dec.UseNumber()
	if dec.Decode(&root) != nil || !json.Valid(bytes.TrimPrefix(doc, []byte(mark))) {
		return "", "", false, evercred.ErrUnsafe
	}
	object, ok := root.(map[string]any)
	if !ok {
		return "", "", false, evercred.ErrUnsafe
	}
	section, ok := object["claudeAiOauth"].(map[string]any)
	if object["claudeAiOauth"] == nil {
		return "", "", false, evercred.ErrNotFound
	}
	if !ok {
		return "", "", false, evercred.ErrUnsafe
	}
	access, isAccess := section["accessToken"].(string)
	refresh, isRefresh := section["refreshToken"].(string)
	switch {
	case !isAccess && section["accessToken"] != nil, !isRefresh && section["refreshToken"] != nil:
		return "", "", false, evercred.ErrUnsafe
	case strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r >= 0x7f }),
		strings.ContainsFunc(refresh, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		return "", "", false, evercred.ErrUnsafe
	case access == "" && refresh == "" && !isAccess && !isRefresh:
		return "", "", false, evercred.ErrNotFound
	}
	return access, refresh, access == "" && refresh == "", nil
}

// seeds are small documents: the fuzzer is slow with large ones.
func seeds(f *testing.F) [][]byte {
	docs := [][]byte{
		login(``), login(`"accessToken":"a"`), login(`"accessToken":"","refreshToken":""`), login(`"refreshToken":"r","accessToken":null`),
		login("\n  \"accessToken\": \"a\",\n  \"accessToken\" : \"\\u0062\"\n"),
		login(`"accessToken":"a","expiresAt":1e400,"scopes":"a b"`), login(`"accessToken":"a","expiresAt":-0.5,"scopes":["a",null]`),
		login(`"accessToken":"a","expiresAt":"1","refreshTokenExpiresAt":1895875200000.5,"scopes":{}`),
		login(`"accessToken":1`), login(`"accessToken":"a\n"`), []byte(`{"claudeAiOauth":null}`), []byte(`{"claudeAiOauth":""}`),
	}
	for _, name := range fixtures(f) {
		if doc := fixture(f, name); len(doc) < 600 {
			docs = append(docs, doc)
		}
	}
	return docs
}

// FuzzDecode: what encoding/json reads, Decode reads; and its errors are quiet.
func FuzzDecode(f *testing.F) {
	for _, doc := range seeds(f) {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := Codec{}.Decode(doc)
		access, refresh, blanked, want := oracle(doc)
		if !errors.Is(err, want) {
			t.Fatalf("got %v, the oracle says %v", err, want)
		}
		if c.Access.Reveal() != access || c.Refresh.Reveal() != refresh || c.Blanked != blanked {
			t.Fatalf("got %q, %q, %v; the oracle says %q, %q, %v", c.Access.Reveal(), c.Refresh.Reveal(), c.Blanked, access, refresh, blanked)
		}
		if err != nil && strings.Contains(err.Error(), "sk-ant") {
			t.Fatalf("the error shows the document: %v", err)
		}
	})
}

// FuzzEncode: the result says what was saved, to us and to encoding/json, and
// differs nowhere else.
func FuzzEncode(f *testing.F) {
	for _, doc := range seeds(f) {
		f.Add(doc, "A<", `R"\`, int64(testExpires+1), int64(testExpires+2), "a:b c")
		f.Add(doc, "A", "", int64(-1), int64(0), "")
	}
	f.Fuzz(func(t *testing.T, doc []byte, access, refresh string, expires, deadline int64, scope string) {
		c := evercred.Credential{Access: evercred.NewSecret(access), Refresh: evercred.NewSecret(refresh)}
		if expires >= 0 && expires < year10000 {
			c.Expires = time.UnixMilli(expires)
		}
		if deadline >= year2000 && deadline < year10000 {
			c.Deadline = time.UnixMilli(deadline)
		}
		if c.Scopes = strings.Split(scope, " "); slices.ContainsFunc(c.Scopes, credjson.NotScope) {
			c.Scopes = nil
		}
		out, err := Codec{}.Encode(doc, c)
		if err != nil {
			if _, _, _, bad := oracle(doc); bad == nil && credjson.Savable(c) == nil {
				t.Fatalf("a good document and a good credential: %v", err)
			}
			return
		}
		checkRoundTrip(t, out, c)
		if got, want := foreign(t, out), foreign(t, doc); !reflect.DeepEqual(got, want) {
			t.Fatalf("another member changed:\n%s\n%s", doc, out)
		}
		checkBytes(t, doc, out)
	})
}

// foreign is everything but our members, as encoding/json reads it.
func foreign(t *testing.T, doc []byte) map[string]any {
	var root map[string]any
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(doc, []byte(mark))))
	dec.UseNumber()
	if err := dec.Decode(&root); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	for _, name := range ours {
		delete(root[keySection].(map[string]any), name)
	}
	return root
}

// ours are the members that Encode may change.
var ours = []string{keyAccess, keyRefresh, keyExpires, keyDeadline, keyScopes}

// checkBytes cuts our members out of both documents, and compares the rest.
func checkBytes(t *testing.T, doc, out []byte) {
	before, _, err := decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := decode(out)
	if err != nil {
		t.Fatal(err)
	}
	var old, now [][2]int
	added := 0 // where the run of new members ends
	for _, name := range ours {
		v, w := before.members.Find(name), after.members.Find(name)
		switch {
		case len(v.Raw()) > 0:
			old, now = append(old, [2]int{v.Start(), v.End()}), append(now, [2]int{w.Start(), w.End()})
		case len(w.Raw()) > 0:
			added = max(added, w.End())
		}
	}
	want, got := cut(doc, old), cut(out, now)
	if added > 0 {
		// New members are one run of text: what got has too much, up to there.
		run := len(got) - len(want)
		got = cut(out, append(now, [2]int{added - run, added}))
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("other bytes changed:\n%q\n%q", want, got)
	}
}

// cut takes pieces out of a text.
func cut(text []byte, pieces [][2]int) []byte {
	slices.SortFunc(pieces, func(a, b [2]int) int { return a[0] - b[0] })
	var rest []byte
	done := 0
	for _, p := range pieces {
		rest = append(rest, text[done:p[0]]...)
		done = p[1]
	}
	return append(rest, text[done:]...)
}
