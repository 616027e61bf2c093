// Package machine lays out what the examples' tests run on: an API on loopback,
// and credentials of a user who does not exist.
package machine

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evercred/evercred/sources"
)

// Key is the only one that the API takes.
const Key = "sk-ant-test-example"

// API answers every request that bears Key as X-Api-Key, and nothing else beside
// it, with body. host is for evercred.Transport.
func API(t *testing.T, body string) (url, host string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != Key || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL, strings.TrimPrefix(server.URL, "http://")
}

// Options are those of an environment of its own: a home without anything, and
// variables such as "ANTHROPIC_API_KEY=…".
func Options(t *testing.T, variables ...string) *sources.Options {
	t.Helper()
	home := t.TempDir()
	environ := append([]string{"HOME=" + home, "USERPROFILE=" + home, "APPDATA=" + home}, variables...)
	return &sources.Options{
		Managed: []string{filepath.Join(home, "managed-settings.json")},
		Environ: func() []string { return environ },
		LookupEnv: func(name string) (string, bool) {
			for _, entry := range environ {
				if value, ok := strings.CutPrefix(entry, name+"="); ok {
					return value, true
				}
			}
			return "", false
		},
	}
}
