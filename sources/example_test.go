package sources_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/sources"
)

// machine is a throw-away one: its home holds a login of Claude Code and the
// settings of a user who has a helper, its environment nothing but that home. A
// program leaves LookupEnv and Managed out and means the real ones.
func machine() (opts *sources.Options, remove func()) {
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	dir := filepath.Join(home, ".claude")
	login := fmt.Sprintf(`{"claudeAiOauth":{"accessToken":"invented-access","refreshToken":"invented-refresh","expiresAt":%d}}`, time.Now().Add(time.Hour).UnixMilli())
	os.Mkdir(dir, 0o700)
	os.WriteFile(filepath.Join(dir, ".credentials.json"), []byte(login), 0o600)
	os.WriteFile(filepath.Join(dir, "settings.json"), []byte(`{"apiKeyHelper":"vault read key"}`), 0o600)
	env := map[string]string{"HOME": home, "USERPROFILE": home, "APPDATA": home}
	return &sources.Options{
		LookupEnv: func(name string) (string, bool) { value, set := env[name]; return value, set },
		Managed:   []string{},
	}, func() { os.RemoveAll(home) }
}

// With Auto a program works with whatever credential the machine has, in the
// order that the owners document. A helper is run only if that is allowed.
func ExampleOpen() {
	opts, remove := machine()
	defer remove()

	src, err := sources.Open(sources.Auto, opts)
	if err != nil { // one that is here and broken
		fmt.Println(err)
		return
	}
	defer src.Close()
	for _, passed := range src.Passed {
		fmt.Println("passed over:", passed.Name+",", passed.Note)
	}
	fmt.Println("found:", src.Name)

	client := &http.Client{Transport: &evercred.Transport{Provider: src, Hosts: []string{"api.anthropic.com"}}}
	_ = client // its requests to that host bear a fresh token

	token, err := src.Token(context.Background())
	fmt.Println("token:", token, err)
	// Output:
	// passed over: helper, present and not run: --allow-helper allows it
	// found: claude-code
	// token: [redacted] <nil>
}

// Discover lists every place, and reads no secret.
func ExampleDiscover() {
	opts, remove := machine()
	defer remove()

	for found := range sources.Discover(opts) {
		switch {
		case found.Err != nil && found.Present:
			fmt.Println(found.Name, "is broken:", found.Err)
		case found.Present:
			fmt.Println(found.Name, "is here", found.Note)
		default:
			fmt.Println(found.Name, "is not here")
		}
	}
	// Output:
	// env:ANTHROPIC_AUTH_TOKEN is not here
	// env:ANTHROPIC_API_KEY is not here
	// helper is here present and not run: --allow-helper allows it
	// env:CLAUDE_CODE_OAUTH_TOKEN is not here
	// federation is not here
	// profile:default is not here
	// claude-code is here
}
