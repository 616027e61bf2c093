package keychain

import (
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
)

func TestMain(m *testing.M) { credtest.Main(m) }

// scene is a keychain, a directory beside which the ledger stands, and the
// times of a test.
type scene struct {
	*credtest.Security
	t     *testing.T
	dir   string
	item  Item
	times timing.Protocol
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c := &scene{t: t, Security: credtest.NewSecurity(t), dir: t.TempDir(), item: Item{"Claude Code-credentials", "me"}, times: timing.Default()}
	c.times.KeychainProbe = 1 // ns
	return c
}

func (c *scene) open(change ...func(*Options)) *Store {
	o := &Options{Seams: &seam.Seams{Times: &c.times, Security: c.Path()}}
	for _, f := range change {
		f(o)
	}
	return New(c.item, c.dir, o)
}

func (c *scene) set(data string) { c.Set(c.item.Service, c.item.Account, []byte(data)) }

func (c *scene) get() string { return string(c.Get(c.item.Service, c.item.Account)) }

func (c *scene) load(s *Store) evercred.Document {
	c.t.Helper()
	d, err := s.Load(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *scene) lock(s *Store) *held {
	c.t.Helper()
	l, err := s.Lock(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { l.Unlock() })
	return l.(*held)
}

// brief makes calls time out soon.
func (c *scene) brief() {
	c.times.KeychainCall, c.times.KeychainEnd = 300*time.Millisecond, 300*time.Millisecond
}

// The contract of evercred.Store.
func TestConformance(t *testing.T) {
	credtest.TestStore(t, func(t *testing.T) credtest.Place {
		c := newScene(t)
		c.times.LookMin, c.times.LookMax = time.Millisecond, 2*time.Millisecond
		return credtest.Place{
			Open:  func() evercred.Store { return c.open() },
			Write: func(data []byte) { c.Set(c.item.Service, c.item.Account, data) },
			Read:  func() []byte { return c.Get(c.item.Service, c.item.Account) },
		}
	})
}
