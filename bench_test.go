package evercred_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evercred/evercred"
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
