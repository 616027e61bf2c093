package oauth2src_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/oauth2src"
)

// provider is a Provider in one function.
type provider func(context.Context) (evercred.Token, error)

func (p provider) Token(ctx context.Context) (evercred.Token, error) { return p(ctx) }

func TestToken(t *testing.T) {
	end := time.Now().Add(time.Hour).Round(0)
	for _, expires := range []time.Time{{}, end} {
		tok, err := evercred.NewToken("sk-ant-oat01-test", &evercred.TokenOptions{Expires: expires})
		if err != nil {
			t.Fatal(err)
		}
		got, err := oauth2src.New(t.Context(), evercred.Static(tok)).Token()
		if err != nil || got.AccessToken != "sk-ant-oat01-test" || got.Type() != "Bearer" || !got.Expiry.Equal(expires) || got.Expiry.IsZero() != expires.IsZero() || got.RefreshToken != "" || !got.Valid() {
			t.Errorf("expires %v: %v", expires, err)
		}
	}
}

func TestAPIKeyIsRefused(t *testing.T) {
	key, err := evercred.NewToken("sk-ant-api03-test", &evercred.TokenOptions{Kind: evercred.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := oauth2src.New(t.Context(), evercred.Static(key)).Token(); got != nil || !errors.Is(err, evercred.ErrConfig) {
		t.Errorf("%v, %v", got != nil, err)
	}
}

func TestErrors(t *testing.T) {
	if got, err := oauth2src.New(t.Context(), evercred.Chain()).Token(); got != nil || !errors.Is(err, evercred.ErrNotFound) {
		t.Errorf("the provider's error: %v, %v", got != nil, err)
	}
	empty := provider(func(context.Context) (evercred.Token, error) { return evercred.Token{}, nil })
	if got, err := oauth2src.New(t.Context(), empty).Token(); got != nil || !errors.Is(err, evercred.ErrUnavailable) {
		t.Errorf("an empty token: %v, %v", got != nil, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bound := provider(func(ctx context.Context) (evercred.Token, error) { return evercred.Token{}, ctx.Err() })
	if got, err := oauth2src.New(ctx, bound).Token(); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v, %v", got != nil, err)
	}
}

// Every token is asked of the provider: nothing in between keeps an old one.
func TestNothingIsKept(t *testing.T) {
	n := 0
	src := oauth2src.New(t.Context(), provider(func(context.Context) (evercred.Token, error) {
		n++
		return evercred.NewToken(fmt.Sprint("sk-ant-oat01-test-", n), &evercred.TokenOptions{Expires: time.Now().Add(time.Hour)})
	}))
	for want := 1; want <= 3; want++ {
		if got, err := src.Token(); err != nil || got.AccessToken != fmt.Sprint("sk-ant-oat01-test-", want) {
			t.Errorf("call %d: %v", want, err)
		}
	}
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Authorization"))
	}))
	defer server.Close()

	token, err := evercred.NewToken("an-invented-token", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	source := oauth2src.New(context.Background(), evercred.Static(token)) // or a Source
	client := &http.Client{Transport: &oauth2.Transport{Source: source}}

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s\n", body)
	// Output: Bearer an-invented-token
}
