// Package seam carries what tests and the proof put in the place of the clock,
// the disk, the network and chance.
package seam

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/timing"
)

// Seams are the outer things. A nil *Seams and every zero member mean the real
// ones.
type Seams struct {
	Times *timing.Protocol
	Clock timing.Clock
	FS    fsys.FS
	Rand  io.Reader
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	Procs procid.Table

	// Security is the program that keeps the keychain, and System the operating
	// system by whose rules an owner's login is found (runtime.GOOS). With them the
	// tests of other systems go the ways of macOS.
	Security string
	System   string
}

// Filled returns s with every missing member set to the real thing.
func (s *Seams) Filled() Seams {
	var f Seams
	if s != nil {
		f = *s
	}
	if f.Times == nil {
		t := timing.Default()
		f.Times = &t
	}
	if f.Clock == nil {
		f.Clock = procid.SystemClock{}
	}
	if f.FS == nil {
		f.FS = fsys.Default()
	}
	if f.Rand == nil {
		f.Rand = rand.Reader
	}
	if f.Dial == nil {
		f.Dial = new(net.Dialer).DialContext
	}
	if f.Procs == nil {
		f.Procs = procid.System{}
	}
	if f.Security == "" {
		f.Security = "/usr/bin/security"
	}
	if f.System == "" {
		f.System = runtime.GOOS
	}
	return f
}

// Jitter returns a duration in [min, max); min where chance fails. It goes by Rand
// where that is not the real one, so that a run of the proof can be repeated. The
// real one is for what must not be guessed, and slow to start.
func (s Seams) Jitter(min, max time.Duration) time.Duration {
	if max <= min {
		return min
	}
	if s.Rand == rand.Reader {
		return min + mathrand.N(max-min)
	}
	var b [8]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return min
	}
	return min + time.Duration(binary.LittleEndian.Uint64(b[:])%uint64(max-min))
}
