package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

const (
	testAccess  = "sk-ant-oat01-test-access"
	testRefresh = "sk-ant-ort01-test-refresh"
	testExpires = 1_893_456_000 // the first second of 2030
)

var codec = Codec{ClientID: "client"}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// with is a good login with more members; of duplicates the last counts.
func with(members string) []byte {
	return []byte(`{"type":"oauth_token","access_token":"` + testAccess + `","refresh_token":"` + testRefresh + `","expires_at":1893456000,` + members + `}`)
}

func TestDecodeFixtures(t *testing.T) {
	both := evercred.Credential{Access: evercred.NewSecret(testAccess), Refresh: evercred.NewSecret(testRefresh), Expires: time.Unix(testExpires, 0)}
	tests := []struct {
		file   string
		change func(*evercred.Credential)
		notes  string // part of the only one; empty: none
	}{
		{"sdk.json", func(*evercred.Credential) {}, ""},
		{"login.json", func(c *evercred.Credential) { c.Scopes = []string{"user:inference", "user:profile"} }, ""},
		{"foreign.json", func(*evercred.Credential) {}, ""},
		{"bare.json", func(c *evercred.Credential) { c.Refresh, c.Expires = evercred.Secret{}, time.Time{} }, ""},
		{"milliseconds.json", func(c *evercred.Credential) {
			c.Expires, c.Scopes = time.UnixMilli(1_893_456_000_123), []string{"user:inference"}
		}, "milliseconds"},
		{"blanked.json", func(c *evercred.Credential) {
			*c = evercred.Credential{Blanked: true, Expires: time.Unix(0, 0)}
		}, ""},
		{"no-access.json", func(c *evercred.Credential) { c.Access, c.Expires = evercred.Secret{}, time.Unix(0, 0) }, "no access token"},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			want := both
			test.change(&want)
			got, err := codec.Decode(fixture(t, "credentials/"+test.file))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Access.Equal(want.Access) || !got.Refresh.Equal(want.Refresh) || !got.Expires.Equal(want.Expires) || got.Blanked != want.Blanked || !slices.Equal(got.Scopes, want.Scopes) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got.ClientID != "client" || got.Companions.Get("anthropic-beta") != OAuthBeta || !got.Deadline.IsZero() {
				t.Errorf("client %q, companions %v, deadline %v", got.ClientID, got.Companions, got.Deadline)
			}
			checkNotes(t, got, test.notes)
		})
	}
}

func checkNotes(t *testing.T, c evercred.Credential, want string) {
	t.Helper()
	if want == "" && c.Notes != nil || want != "" && (len(c.Notes) != 1 || !strings.Contains(c.Notes[0], want)) {
		t.Errorf("notes %q, want one with %q", c.Notes, want)
	}
}

func TestDecodeBadInput(t *testing.T) { // F6
	wide := []byte{0xff, 0xfe}
	for _, b := range fixture(t, "credentials/sdk.json") {
		wide = append(wide, b, 0)
	}
	sdk := fixture(t, "credentials/sdk.json")
	tests := []struct {
		name string
		doc  []byte
		want error
	}{
		{"empty", nil, evercred.ErrUnsafe},
		{"white space", []byte(" \n"), evercred.ErrUnsafe},
		{"cut off", sdk[:len(sdk)-1], evercred.ErrUnsafe},
		{"cut in a token", sdk[:70], evercred.ErrUnsafe},
		{"two documents", append(slices.Clone(sdk), sdk...), evercred.ErrUnsafe},
		{"NUL bytes", make([]byte, 100), evercred.ErrUnsafe},
		{"UTF-16", wide, evercred.ErrUnsafe},
		{"array", []byte(`[` + string(sdk) + `]`), evercred.ErrUnsafe},
		{"null", []byte(`null`), evercred.ErrUnsafe},
		{"string", []byte(`"sk-ant-oat01-test-access"`), evercred.ErrUnsafe},
		{"deep", []byte(strings.Repeat(`{"a":`, 200_000)), evercred.ErrUnsafe},
		{"no member", []byte(`{}`), evercred.ErrNotFound},
		{"no token", []byte(`{"type":"oauth_token","expires_at":1893456000}`), evercred.ErrNotFound},
		{"null tokens", []byte(`{"access_token":null,"refresh_token":null}`), evercred.ErrNotFound},
		{"Claude Code's document", []byte(`{"claudeAiOauth":{"accessToken":"` + testAccess + `"}}`), evercred.ErrNotFound},
		{"unknown type", with(`"type":"api_key"`), evercred.ErrUnsafe},
		{"a type that is no string", with(`"type":1`), evercred.ErrUnsafe},
		{"access token a number", with(`"access_token":1`), evercred.ErrUnsafe},
		{"access token an object", with(`"access_token":{"token":"` + testAccess + `"}`), evercred.ErrUnsafe},
		{"refresh token an array", with(`"refresh_token":["` + testRefresh + `"]`), evercred.ErrUnsafe},
		{"access token with a line end", with(`"access_token":"sk-ant-oat01-x\r\nHost: y"`), evercred.ErrUnsafe},
		{"access token with a space", with(`"access_token":"sk-ant oat01"`), evercred.ErrUnsafe},
		{"refresh token not ASCII", with(`"refresh_token":"sk-ant-ört"`), evercred.ErrUnsafe},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := codec.Decode(test.doc)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), "sk-ant") {
				t.Errorf("the error shows the document: %v", err)
			}
			if out, err := codec.Encode(test.doc, granted()); err == nil {
				t.Errorf("Encode made %s of it", out)
			}
		})
	}
}

func TestDecodeTolerates(t *testing.T) {
	tests := []struct{ members, note string }{
		{`"type":""`, ""},
		{`"type":null`, ""},
		{`"version":"1.7"`, ""},
		{`"version":"2.0"`, "version"},
		{`"version":1`, "version"},
		{`"scope":["user:inference"]`, "scope"},
		{`"scope":"a b\u0007"`, "scope"},
		{`"scope":null`, ""},
		{`"scope":""`, ""},
		{`"account_email":{"not":"a string"}`, ""},
	}
	for _, test := range tests {
		c, err := codec.Decode(with(test.members))
		if err != nil || c.Access.Reveal() != testAccess || c.Scopes != nil {
			t.Errorf("%s: %v %v", test.members, c.Scopes, err)
		}
		checkNotes(t, c, test.note)
	}
}

func TestDecodeTimes(t *testing.T) {
	tests := []struct {
		json string
		want int64 // epoch milliseconds; -1: unknown
		note string
	}{
		{"1893456000", 1_893_456_000_000, ""},
		{"1893456000.9", 1_893_456_000_000, ""},
		{"1.893456e9", 1_893_456_000_000, ""},
		{"946684800", 946_684_800_000, ""},
		{"946684799", 946_684_799_000, "2000"},
		{"0", 0, "2000"},
		{"-1", 0, "2000"},
		{"-1e999", 0, "2000"},
		{"253402300799", 253_402_300_799_000, ""},
		{"253402300800", 0, "too large"},
		{"946684799999", 0, "too large"},
		{"946684800000", 946_684_800_000, "milliseconds"},
		{"1893456000123", 1_893_456_000_123, "milliseconds"},
		{"253402300799999", 253_402_300_799_999, "milliseconds"},
		{"253402300800000", 0, "too large"},
		{"1893456000123456789", 0, "too large"},
		{"1e999", 0, "too large"},
		{"null", -1, ""},
		{`"1893456000"`, -1, "string"},
		{"true", -1, "bool"},
		{"{}", -1, "object"},
	}
	for _, test := range tests {
		t.Run(test.json, func(t *testing.T) {
			c, err := codec.Decode(with(`"expires_at":` + test.json))
			if err != nil {
				t.Fatal(err)
			}
			if test.want < 0 && !c.Expires.IsZero() || test.want >= 0 && (c.Expires.IsZero() || c.Expires.UnixMilli() != test.want) {
				t.Errorf("%v, want %v", c.Expires, time.UnixMilli(test.want))
			}
			checkNotes(t, c, test.note)
		})
	}
}

// Without a client a refresh token must never leave: it does not leave the codec.
func TestStaticHidesTheRefreshToken(t *testing.T) {
	c, err := Codec{}.Decode(fixture(t, "credentials/login.json"))
	if err != nil || !c.Refresh.IsZero() || c.Access.Reveal() != testAccess || c.Blanked || c.ClientID != "" {
		t.Errorf("%+v %v", c, err)
	}
	checkNotes(t, c, "client_id")
}

// granted is what a grant gives, with characters that need care in JSON.
func granted() evercred.Credential {
	return evercred.Credential{
		Access:  evercred.NewSecret(`sk-ant-oat01-test-new<&>"\`),
		Refresh: evercred.NewSecret("sk-ant-ort01-test-new"),
		Expires: time.UnixMilli(1_893_484_800_987),
	}
}

// Each document is edited by hand, too: by replacing text that occurs once. F1.
func TestEncodeTouchesNothingElse(t *testing.T) {
	const access, refresh, expires = `"access_token": "sk-ant-oat01-test-new<&>\"\\"`, `"sk-ant-ort01-test-new"`, `1893484800`
	plain := []string{`"access_token": "` + testAccess + `"`, access, `"` + testRefresh + `"`, refresh, "1893456000", expires}
	tight := []string{`"access_token":"` + testAccess + `"`, strings.Replace(access, ": ", ":", 1), `"` + testRefresh + `"`, refresh}
	tests := []struct {
		file     string
		scopes   []string
		replaced []string // old, new, old, new
	}{
		{"sdk.json", nil, plain},
		{"sdk.json", []string{"a", "b"}, append(slices.Clone(plain), `test-new"`+"\n}", `test-new",`+"\n  \"scope\": \"a b\"\n}")},
		{"login.json", nil, plain},
		{"login.json", []string{"user:inference", "user:profile"}, plain},
		{"login.json", []string{"user:inference"}, append(slices.Clone(plain), "user:inference user:profile", "user:inference")},
		{"foreign.json", nil, append(slices.Clone(tight), "1.893456e9", expires)},
		{"milliseconds.json", nil, append(slices.Clone(tight), "1893456000123", expires)},
		{"blanked.json", nil, []string{`"access_token":""`, strings.Replace(access, ": ", ":", 1), `"refresh_token":""`, `"refresh_token":` + refresh, `"expires_at":0`, `"expires_at":` + expires}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.file, test.scopes), func(t *testing.T) {
			doc := fixture(t, "credentials/"+test.file)
			want := string(doc)
			for i := 0; i < len(test.replaced); i += 2 {
				if strings.Count(want, test.replaced[i]) != 1 {
					t.Fatalf("%s does not occur once", test.replaced[i])
				}
				want = strings.Replace(want, test.replaced[i], test.replaced[i+1], 1)
			}
			c := granted()
			c.Scopes = test.scopes
			got, err := codec.Encode(doc, c)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEncodeOfDecodeIsIdentical(t *testing.T) {
	docs := [][]byte{with(`"expires_at":1.893456e9`), with(`"expires_at":1893456000.7`), with(`"expires_at":"x"`), with(`"expires_at":null`), with(`"scope":" a  b "`), with(`"scope":[]`)}
	for _, name := range []string{"sdk", "login", "foreign", "milliseconds", "bare"} {
		docs = append(docs, fixture(t, "credentials/"+name+".json"))
	}
	for _, doc := range docs {
		c, err := codec.Decode(doc)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := codec.Encode(doc, c); err != nil || !bytes.Equal(out, doc) {
			t.Errorf("%v\n%s\n%s", err, doc, out)
		}
	}
}

func TestEncodeTimes(t *testing.T) {
	tests := []struct {
		was     string
		expires time.Time
		want    string // the member; empty: absent
	}{
		{`1893456000`, time.Time{}, `null`},
		{`null`, time.Time{}, `null`},
		{``, time.Time{}, ``},
		{``, time.Unix(testExpires, 0), `1893456000`},
		{`"soon"`, time.Unix(testExpires, 0), `1893456000`},
		{`1893456000000`, time.Unix(testExpires, 0), `1893456000`},
		{`1893456000`, time.UnixMilli(testExpires*1000 + 999), `1893456000`},
	}
	for _, test := range tests {
		doc := []byte(`{"access_token":"x","refresh_token":"y"}`)
		if test.was != "" {
			doc = []byte(`{"access_token":"x","refresh_token":"y","expires_at":` + test.was + `}`)
		}
		c := granted()
		c.Expires = test.expires
		out, err := codec.Encode(doc, c)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Expires json.RawMessage `json:"expires_at"`
		}
		if err := json.Unmarshal(out, &got); err != nil || string(got.Expires) != test.want {
			t.Errorf("%s, %v: %s %v", doc, test.expires, out, err)
		}
	}
}

func TestEncodeRefusesGarbage(t *testing.T) {
	for name, change := range map[string]func(*evercred.Credential){
		"no access token":        func(c *evercred.Credential) { c.Access = evercred.Secret{} },
		"a line end in a token":  func(c *evercred.Credential) { c.Access = evercred.NewSecret("a\nb") },
		"a refresh token of NUL": func(c *evercred.Credential) { c.Refresh = evercred.NewSecret("\x00") },
	} {
		t.Run(name, func(t *testing.T) {
			c := granted()
			change(&c)
			_, err := codec.Encode(fixture(t, "credentials/sdk.json"), c)
			check(t, err, evercred.ErrUnsafe, evercred.ReasonBug, "")
		})
	}
}

// FuzzEncode: what Decode and encoding/json read is the same; what was saved
// reads back; and every byte outside our members is as it was.
func FuzzEncode(f *testing.F) {
	names, _ := filepath.Glob("testdata/credentials/*.json")
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc, "A<", `R"\`, int64(testExpires+1), "a:b c")
		f.Add(doc, "A", "", int64(0), "")
	}
	f.Add(with(`"access\u005ftoken":"dup", "scope":"x"`), "A", "B", int64(testExpires), "a")
	f.Fuzz(func(t *testing.T, doc []byte, access, refresh string, expires int64, scope string) {
		c := evercred.Credential{Access: evercred.NewSecret(access), Refresh: evercred.NewSecret(refresh), Scopes: strings.Fields(scope)}
		if expires >= year2000 && expires < year10000 {
			c.Expires = time.Unix(expires, 0)
		}
		if strings.Join(c.Scopes, " ") != scope || scope == "" {
			c.Scopes = nil
		}
		old, _ := codec.Decode(doc)
		out, err := codec.Encode(doc, c)
		if err != nil {
			if strings.Contains(err.Error(), "sk-ant") {
				t.Fatalf("the error shows the document: %v", err)
			}
			return
		}
		got, err := codec.Decode(out)
		if err != nil || !got.Access.Equal(c.Access) || !c.Refresh.IsZero() && !got.Refresh.Equal(c.Refresh) || c.Refresh.IsZero() && !got.Refresh.Equal(old.Refresh) {
			t.Fatalf("%v\n%s\n%s", err, doc, out)
		}
		if !c.Expires.IsZero() && got.Expires.Unix() != c.Expires.Unix() || c.Expires.IsZero() != got.Expires.IsZero() {
			t.Fatalf("expires %v, want %v\n%s", got.Expires, c.Expires, out)
		}
		before, after := outside(t, doc), outside(t, out)
		for name := range after.ours {
			if _, ok := before.ours[name]; !ok { // a new member, at the end
				after = without(t, out, name)
				out = []byte(after.text)
			}
		}
		if before.rest != outside(t, out).rest {
			t.Fatalf("other bytes changed:\n%q\n%q", before.rest, outside(t, out).rest)
		}
		if !reflect.DeepEqual(before.foreign, after.foreign) {
			t.Fatalf("another member changed:\n%s\n%s", doc, out)
		}
	})
}

// parts is a document cut up by encoding/json: our members, and the rest with a
// mark in the place of each of their values.
type parts struct {
	text, rest string
	ours       map[string][3]int // before the comma, value's begin and end
	foreign    map[string]string
}

func outside(t *testing.T, doc []byte) parts {
	p := parts{text: string(doc), ours: map[string][3]int{}, foreign: map[string]string{}}
	skip := 0
	if bytes.HasPrefix(doc, []byte("\ufeff")) {
		skip = 3
	}
	dec := json.NewDecoder(bytes.NewReader(doc[skip:]))
	at := func() int { return skip + int(dec.InputOffset()) }
	dec.Token()
	for dec.More() {
		before := at()
		key, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			t.Fatalf("not JSON: %s", doc)
		}
		name := key.(string)
		if slices.Contains([]string{keyAccess, keyRefresh, keyExpires, keyScope}, name) {
			p.ours[name] = [3]int{before, at() - len(value), at()}
		} else {
			p.foreign[name] = string(value)
		}
	}
	var cuts [][2]int
	for _, m := range p.ours {
		cuts = append(cuts, [2]int{m[1], m[2]})
	}
	slices.SortFunc(cuts, func(a, b [2]int) int { return a[0] - b[0] })
	var b strings.Builder
	done := 0
	for _, c := range cuts {
		b.WriteString(p.text[done:c[0]] + "\x00")
		done = c[1]
	}
	p.rest = b.String() + p.text[done:]
	return p
}

// without takes a member out again, with the comma before it.
func without(t *testing.T, doc []byte, name string) parts {
	m := outside(t, doc).ours[name]
	return outside(t, slices.Concat(doc[:m[0]], doc[m[2]:]))
}
