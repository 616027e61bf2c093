package peers

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// The network of the clients must have nothing but loopback in it.
func TestNothingButLoopback(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("a network of our own needs Linux and root")
	}
	n, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	n.in(func() {
		if _, err := net.DialTimeout("tcp", "192.0.2.1:443", time.Second); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("another host: %v", err)
		}
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"same", "same", 0}, {"", "new", 3}, {"gone", "", 4}, {"1.50", "1.5", 1}, {"abc", "axc", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// What was laid reads back, and a rotated token is no neighbour.
func TestFormats(t *testing.T) {
	for name, f := range map[string]format{"claude": claude, "profile": profile, "pi": pi} {
		t.Run(name, func(t *testing.T) {
			read := func(l issuer.Login, ended time.Time) (string, string) {
				dir := t.TempDir()
				path := filepath.Join(dir, f.file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := f.lay(dir, path, "http://127.0.0.1:1", l, ended); err != nil {
					t.Fatal(err)
				}
				doc, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				refresh, rest, err := f.read(doc)
				if err != nil {
					t.Fatal(err)
				}
				return refresh, rest
			}
			refresh, one := read(issuer.Login{Access: "a1", Refresh: "r1"}, time.Unix(1_700_000_000, 0))
			_, two := read(issuer.Login{Access: "a2-longer", Refresh: "r2-longer"}, time.Unix(1_900_000_000, 0))
			if refresh != "r1" || one != two || one == "" {
				t.Errorf("refresh %q; neighbours\n%s\n%s", refresh, one, two)
			}
		})
	}
}
