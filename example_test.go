package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/owner/claudecode"
)

// A login of Claude Code, expired, is renewed once and saved; the header is
// ready for a request. The endpoint and the directory are throw-away ones.
func Example() {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token":"new-access","refresh_token":"new-refresh","expires_in":28800}`)
	}))
	defer endpoint.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, ".credentials.json")
	login := `{"claudeAiOauth":{"accessToken":"old-access","refreshToken":"old-refresh","expiresAt":1600000000000,"subscriptionType":"max"}}`
	if err := os.WriteFile(file, []byte(login), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	src, err := claudecode.Open(&claudecode.Options{ConfigDir: dir, TokenURL: endpoint.URL + "/token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close()
	tok, err := src.Token(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	req, _ := http.NewRequest("GET", "https://api.anthropic.com/v1/models", nil)
	tok.Apply(req.Header)
	fmt.Println("printed:", tok)
	fmt.Println("header:", req.Header.Get("Authorization"))
	saved, _ := os.ReadFile(file)
	fmt.Println("saved:", strings.Contains(string(saved), "new-refresh"), "kept:", strings.Contains(string(saved), `"subscriptionType":"max"`))
	// Output:
	// printed: [redacted]
	// header: Bearer new-access
	// saved: true kept: true
}

// A Source over a Store of your own: here the one in memory that credtest ships.
func ExampleNew() {
	store := credtest.NewStore([]byte(`{"claudeAiOauth":{"accessToken":"a","refreshToken":"r","expiresAt":4102444800000}}`))
	refresher, err := grant.New(grant.Config{TokenURL: "https://login.example/token", ClientID: "my-client"})
	if err != nil {
		fmt.Println(err)
		return
	}
	src := evercred.New(store, claudecode.Codec{}, refresher, &evercred.Options{RefreshEarly: 5 * time.Minute})
	defer src.Close()
	status, _ := src.Status(context.Background())
	fmt.Println(status.State, status.Expires.UTC().Year())
	// Output: fresh 2100
}

// Errors say what to do next.
func ExampleError() {
	src := evercred.New(credtest.NewStore(nil), claudecode.Codec{}, nil, nil)
	defer src.Close()
	_, err := src.Token(context.Background())
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		fmt.Println("log in first")
	case errors.Is(err, evercred.ErrLoginRequired):
		fmt.Println("log in again")
	case errors.Is(err, evercred.ErrUnavailable):
		fmt.Println("try again later")
	}
	// Output: log in first
}
