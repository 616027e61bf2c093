package evercred_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evercred/evercred"
)

// mustToken is NewToken for secrets that are known to be good.
func mustToken(t testing.TB, secret string, opts *evercred.TokenOptions) evercred.Token {
	t.Helper()
	tok, err := evercred.NewToken(secret, opts)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestApply(t *testing.T) {
	bearer := &evercred.TokenOptions{Companions: http.Header{"anthropic-beta": {"oauth-2025-04-20"}}}
	key := &evercred.TokenOptions{Kind: evercred.APIKey}
	tests := []struct {
		name     string
		opts     *evercred.TokenOptions
		in, want http.Header
	}{
		{"bearer", nil, http.Header{}, http.Header{"Authorization": {"Bearer S"}}},
		{"key", key, http.Header{}, http.Header{"X-Api-Key": {"S"}}},
		{
			"key and bearer", &evercred.TokenOptions{Kind: evercred.KeyAndBearer},
			http.Header{"authorization": {"Basic a"}, "X-Api-Key": {"old"}},
			http.Header{"X-Api-Key": {"S"}, "Authorization": {"Bearer S"}},
		},
		{
			"bearer replaces both", nil,
			http.Header{"Authorization": {"Basic a", "Basic b"}, "X-Api-Key": {"old"}, "Accept": {"*/*"}},
			http.Header{"Authorization": {"Bearer S"}, "Accept": {"*/*"}},
		},
		{
			"key replaces both", key,
			http.Header{"Authorization": {"Bearer old"}, "X-Api-Key": {"old"}},
			http.Header{"X-Api-Key": {"S"}},
		},
		{
			"names that are not canonical", nil,
			http.Header{"authorization": {"Bearer old"}, "x-api-key": {"old"}, "X-API-KEY": {"older"}},
			http.Header{"Authorization": {"Bearer S"}},
		},
		{
			"companion alone", bearer, http.Header{},
			http.Header{"Authorization": {"Bearer S"}, "Anthropic-Beta": {"oauth-2025-04-20"}},
		},
		{
			"companion joins a list", bearer, http.Header{"Anthropic-Beta": {"files-1, x-2", "y-3"}},
			http.Header{"Authorization": {"Bearer S"}, "Anthropic-Beta": {"files-1,x-2,y-3,oauth-2025-04-20"}},
		},
		{
			"companion is there already", bearer, http.Header{"Anthropic-Beta": {"files-1, oauth-2025-04-20"}},
			http.Header{"Authorization": {"Bearer S"}, "Anthropic-Beta": {"files-1, oauth-2025-04-20"}},
		},
		{
			"companion that only begins alike", bearer, http.Header{"Anthropic-Beta": {"oauth-2025-04-20x"}},
			http.Header{"Authorization": {"Bearer S"}, "Anthropic-Beta": {"oauth-2025-04-20x,oauth-2025-04-20"}},
		},
		{
			"companions that are lists themselves",
			&evercred.TokenOptions{Companions: http.Header{"Anthropic-Beta": {"a, b", "b,c"}}},
			http.Header{"Anthropic-Beta": {"b"}},
			http.Header{"Authorization": {"Bearer S"}, "Anthropic-Beta": {"b,a,c"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tok := mustToken(t, "S", tt.opts)
			h := tt.in.Clone()
			tok.Apply(h)
			if !maps.EqualFunc(h, tt.want, slices.Equal) {
				t.Errorf("got  %v\nwant %v", h, tt.want)
			}
			tok.Apply(h)
			if !maps.EqualFunc(h, tt.want, slices.Equal) {
				t.Errorf("a second time changed it to %v", h)
			}
		})
	}
}

// TestApplyProperties: whatever stood in the header, there is one credential
// after Apply, and no item of a beta list was lost or doubled.
func TestApplyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		item := rapid.StringMatching(`[a-c]{1,2}`)
		mine := rapid.SliceOfN(item, 0, 3).Draw(t, "companions")
		theirs := rapid.SliceOfNDistinct(item, 0, 4, rapid.ID).Draw(t, "theirs")
		kind := evercred.Kind(rapid.IntRange(0, 2).Draw(t, "kind"))
		h := http.Header{}
		if len(theirs) > 0 {
			h["Anthropic-Beta"] = []string{strings.Join(theirs, rapid.SampledFrom([]string{",", ", ", " ,"}).Draw(t, "sep"))}
		}
		for _, name := range rapid.SliceOf(rapid.SampledFrom([]string{"Authorization", "authorization", "X-Api-Key", "x-API-key"})).Draw(t, "old") {
			h[name] = []string{"old"}
		}
		tok, err := evercred.NewToken("S", &evercred.TokenOptions{Kind: kind, Companions: http.Header{"Anthropic-Beta": mine}})
		if err != nil {
			t.Fatal(err)
		}
		tok.Apply(h)

		var credentials, items []string
		for name, values := range h {
			switch http.CanonicalHeaderKey(name) {
			case "Authorization", "X-Api-Key":
				credentials = append(credentials, values...)
			case "Anthropic-Beta":
				for _, v := range strings.Split(strings.Join(values, ","), ",") {
					items = append(items, strings.TrimSpace(v))
				}
			}
		}
		slices.Sort(credentials)
		want := map[evercred.Kind][]string{evercred.Bearer: {"Bearer S"}, evercred.APIKey: {"S"}, evercred.KeyAndBearer: {"Bearer S", "S"}}[kind]
		if !slices.Equal(credentials, want) {
			t.Fatalf("credentials %q", credentials)
		}
		all := slices.Concat(theirs, mine)
		slices.Sort(all)
		all = slices.Compact(all)
		slices.Sort(items)
		if !slices.Equal(items, all) {
			t.Fatalf("beta items %q, want %q", items, all)
		}
	})
}

func TestNewTokenRefusesWhatCannotStandInAHeader(t *testing.T) {
	for _, bad := range []string{"", " ", "a b", "a\n", "a\r\nX-Evil: 1", "\ta", "a\x00", "a\x7f", "tökén", "a\xff", "\u00a0"} {
		tok, err := evercred.NewToken(bad, nil)
		if !errors.Is(err, evercred.ErrUnsafe) || !tok.IsZero() {
			t.Errorf("%q: token %v, error %v", bad, !tok.IsZero(), err)
		}
		if err != nil && len(bad) > 3 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
	for c := byte('!'); c <= '~'; c++ {
		if _, err := evercred.NewToken(string(c), nil); err != nil {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestTokenEqual(t *testing.T) {
	a := mustToken(t, "sk-ant-oat01-test-a", nil)
	same := mustToken(t, strings.Clone("sk-ant-oat01-test-a"), &evercred.TokenOptions{Expires: time.Now()})
	b := mustToken(t, "sk-ant-oat01-test-b", nil)
	longer := mustToken(t, "sk-ant-oat01-test-aa", nil)
	switch {
	case !a.Equal(a), !a.Equal(same), !same.Equal(a):
		t.Error("equal secrets differ")
	case a.Equal(b), a.Equal(longer), longer.Equal(a), a.Equal(evercred.Token{}), (evercred.Token{}).Equal(a):
		t.Error("different secrets are equal")
	case !(evercred.Token{}).Equal(evercred.Token{}):
		t.Error("two zero tokens differ")
	case a == same:
		t.Error("== compares secrets; it is said to compare identities")
	}
}

func TestToken(t *testing.T) {
	companions := http.Header{"Anthropic-Beta": {"x"}}
	end := time.Now().Add(time.Hour)
	tok := mustToken(t, "abc", &evercred.TokenOptions{Kind: evercred.APIKey, Expires: end, Companions: companions})
	if tok.Reveal() != "abc" || tok.Kind() != evercred.APIKey || tok.Fingerprint() != "ba7816bf8f01" || tok.IsZero() {
		t.Errorf("the token is not what it was made of: kind %v, fingerprint %s", tok.Kind(), tok.Fingerprint())
	}
	// R18: a monotonic reading would make a laptop that slept believe a dead token.
	if got := tok.Expires(); !got.Equal(end) || got != got.Round(0) {
		t.Errorf("expires %v, want %v on the wall clock alone", got, end)
	}
	companions.Set("Anthropic-Beta", "changed")
	h := http.Header{}
	tok.Apply(h)
	if h.Get("Anthropic-Beta") != "x" {
		t.Error("a token changes with the header that it was made of")
	}
	if b, err := json.Marshal(map[string]any{"t": tok}); err != nil || string(b) != `{"t":"[redacted]"}` {
		t.Errorf("JSON %s, %v", b, err)
	}
	if fmt.Sprint(tok) != evercred.Redacted || tok.GoString() != evercred.Redacted {
		t.Errorf("prints as %v, %#v", tok, tok)
	}
}

func TestZeroToken(t *testing.T) {
	var z evercred.Token
	h := http.Header{"Authorization": {"mine"}}
	z.Apply(h)
	z.Apply(nil)
	if h.Get("Authorization") != "mine" {
		t.Error("the zero token changed a header")
	}
	b, err := json.Marshal(z)
	if !z.IsZero() || z.Reveal() != "" || z.Fingerprint() != "" || !z.Expires().IsZero() || z.Kind() != evercred.Bearer || err != nil || string(b) != `""` || fmt.Sprintf("%v%#v%x", z, z, z) != "" {
		t.Errorf("the zero token is not empty: %s, %v", b, err)
	}
}
