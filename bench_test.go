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
	"sync/atomic"
	"testing"
	"time"

	"github.com/evercred/evercred"
	places "github.com/evercred/evercred/sources" // another name: imports_test.go has a sources
)

// The hot path beside its floor, which is what no cache of tokens can do
// without: one atomic load and one look at the wall clock (docs/measuring.md).

func BenchmarkToken(b *testing.B) {
	s := benchSource(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if tok, err := s.Token(ctx); err != nil || tok.IsZero() {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenParallel(b *testing.B) {
	s := benchSource(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			if tok, err := s.Token(ctx); err != nil || tok.IsZero() {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFloor(b *testing.B) {
	f := newFloor()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if tok, err := f.Token(ctx); err != nil || tok.IsZero() {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorParallel(b *testing.B) {
	f := newFloor()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			if tok, err := f.Token(ctx); err != nil || tok.IsZero() {
				b.Fatal(err)
			}
		}
	})
}

// benchSource reads the real clock and notices external changes within Probe,
// as in production.
func benchSource(b *testing.B) *evercred.Source {
	doc := fmt.Appendf(nil, `{"claudeAiOauth":{"accessToken":"a1","refreshToken":"r1","expiresAt":%d}}`, time.Now().Add(8*time.Hour).UnixMilli())
	s := evercred.New(newStore(doc), codec, nil, nil)
	b.Cleanup(func() { s.Close() })
	if _, err := s.Token(context.Background()); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkSource is BenchmarkToken for what package sources opens. A profile
// without client_id is not among them: it costs a stat at each use.
func BenchmarkSource(b *testing.B) {
	eachSource(b, func(b *testing.B, s *places.Source) {
		ctx := context.Background()
		for b.Loop() {
			if tok, err := s.Token(ctx); err != nil || tok.IsZero() {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSourceParallel(b *testing.B) {
	eachSource(b, func(b *testing.B, s *places.Source) {
		b.RunParallel(func(pb *testing.PB) {
			ctx := context.Background()
			for pb.Next() {
				if tok, err := s.Token(ctx); err != nil || tok.IsZero() {
					b.Fatal(err)
				}
			}
		})
	})
}

// eachSource opens all of them on a machine of their own.
func eachSource(b *testing.B, run func(*testing.B, *places.Source)) {
	dir := b.TempDir()
	put := func(name, format string, args ...any) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600)); err != nil {
			b.Fatal(err)
		}
		return path
	}
	end := time.Now().Add(8 * time.Hour)
	put("configs/default.json", `{"authentication":{"type":"user_oauth","client_id":"c"}}`)
	put("credentials/default.json", `{"type":"oauth_token","access_token":"a1","refresh_token":"r1","expires_at":%d}`, end.Unix())
	file := put("login.json", `{"claudeAiOauth":{"accessToken":"a1","refreshToken":"r1","expiresAt":%d}}`, end.UnixMilli())
	exchange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"a1","token_type":"Bearer","expires_in":28800}`)
	}))
	b.Cleanup(exchange.Close)
	env := map[string]string{
		"ANTHROPIC_AUTH_TOKEN": "a1", "ANTHROPIC_CONFIG_DIR": dir,
		"ANTHROPIC_IDENTITY_TOKEN": "i1", "ANTHROPIC_FEDERATION_RULE_ID": "f1", "ANTHROPIC_ORGANIZATION_ID": "o1",
	}
	opts := &places.Options{
		HelperCommand: "echo a1", TokenURL: exchange.URL,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	for _, name := range []string{"env", "helper", "federation", "profile", "file:" + file} {
		kind, _, _ := strings.Cut(name, ":")
		b.Run(kind, func(b *testing.B) {
			s, err := places.Open(name, opts)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Token(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, s)
		})
	}
}

type floor struct{ cur atomic.Pointer[floorToken] }

type floorToken struct {
	token   evercred.Token
	expires int64
}

func newFloor() *floor {
	t, _ := evercred.NewToken("a1", nil)
	f := &floor{}
	f.cur.Store(&floorToken{t, time.Now().Add(8 * time.Hour).UnixNano()})
	return f
}

//go:noinline
func (f *floor) Token(context.Context) (evercred.Token, error) {
	if c := f.cur.Load(); time.Now().UnixNano() < c.expires {
		return c.token, nil
	}
	return evercred.Token{}, context.DeadlineExceeded
}
