package model

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
)

// pool holds every client and every memory that was ever met, once.
type pool struct {
	clients  table[client]
	memories table[memory]
	expanded sync.Map // memory number to ledger.Memory
}

func newPool() *pool {
	p := new(pool)
	p.memory(memory{}) // is 0
	p.client(newClient())
	return p
}

func (p *pool) client(c client) uint32 { return p.clients.put(c) }
func (p *pool) memory(m memory) uint32 { return p.memories.put(m) }

// ledger is a memory as production knows it.
func (p *pool) ledger(n uint32) ledger.Memory {
	if v, ok := p.expanded.Load(n); ok {
		return v.(ledger.Memory)
	}
	m := p.memories.get(n).expand()
	p.expanded.Store(n, m)
	return m
}

// table numbers values in the order in which they were met. Reading one needs
// no lock.
type table[T comparable] struct {
	mu     sync.RWMutex
	number map[T]uint32
	chunks [1 << 14]atomic.Pointer[[chunk]T]
}

const chunk = 1 << 10

func (t *table[T]) get(n uint32) *T { return &t.chunks[n/chunk].Load()[n%chunk] }

func (t *table[T]) put(v T) uint32 {
	t.mu.RLock()
	n, ok := t.number[v]
	t.mu.RUnlock()
	if ok {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.number[v]; ok {
		return n
	}
	if t.number == nil {
		t.number = map[T]uint32{}
	}
	n = uint32(len(t.number))
	if n%chunk == 0 {
		t.chunks[n/chunk].Store(new([chunk]T))
	}
	*t.get(n) = v
	t.number[v] = n
	return n
}

// memory is ledger.Memory as it can be compared: seconds for times, 0 for what
// is not there.
type memory struct {
	print          uint8
	cool           int32 // seconds left
	coolWhy        decide.Cause
	coolCount      uint8
	dead, lost     bool
	refused        int32 // seconds left; never: no time, only a count
	refusedCount   uint8
	spent          uint16 // bits; there are fewer than are remembered
	granted        uint8  // access token
	grantedRefresh uint8
	grantedAge     int32
	unanswered     uint8
	unansweredAge  int32
}

const (
	never    = -1
	maxCount = 6    // a cooldown doubles no further
	oldGrant = 1000 // seconds: nobody calls it fresh any more
)

func (m memory) older(seconds uint8) memory {
	s := int32(seconds)
	m.cool = max(0, m.cool-s)
	if m.refused != never {
		m.refused = max(0, m.refused-s)
	}
	if m.granted != 0 {
		m.grantedAge = min(m.grantedAge+s, oldGrant)
	}
	if m.unanswered != 0 {
		m.unansweredAge = min(m.unansweredAge+s, aLongTime)
	}
	return m
}

func in(seconds int32) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func until(t time.Time) int32 { return int32((t.Sub(epoch) + time.Second - 1) / time.Second) }

func (m memory) expand() ledger.Memory {
	l := ledger.Memory{Version: ledger.FormatVersion, Print: refresh[m.print]}
	if m.coolCount > 0 {
		l.Cooldown = &ledger.Cooldown{Until: in(m.cool), Reason: string(m.coolWhy), Count: int(m.coolCount)}
	}
	if m.dead {
		l.Dead = &ledger.Dead{At: epoch, Reason: string(decide.WasRefused)}
		if m.lost {
			l.Dead.Lost = epoch
		}
	}
	if m.refusedCount > 0 {
		l.Refused = &ledger.Cooldown{Reason: string(decide.APIRefuses), Count: int(m.refusedCount)}
		if m.refused != never {
			l.Refused.Until = in(m.refused)
		}
	}
	for n := range maxTokens {
		if m.spent&(1<<n) != 0 {
			l.Spent = append(l.Spent, refresh[n])
		}
	}
	if m.granted != 0 {
		l.Granted = &ledger.Granted{At: in(-m.grantedAge), Access: access[m.granted], Refresh: refresh[m.grantedRefresh], Lifetime: 8 * time.Hour}
	}
	if m.unanswered != 0 {
		l.Unanswered = &ledger.Unanswered{Print: refresh[m.unanswered], At: in(-m.unansweredAge)}
	}
	return l
}

func compress(l ledger.Memory) memory {
	m := memory{print: number(l.Print)}
	if c := l.Cooldown; c != nil {
		m.cool, m.coolWhy, m.coolCount = until(c.Until), decide.Cause(c.Reason), uint8(min(c.Count, maxCount))
	}
	if d := l.Dead; d != nil {
		m.dead, m.lost = true, !d.Lost.IsZero()
	}
	if r := l.Refused; r != nil {
		m.refused, m.refusedCount = never, uint8(min(r.Count, maxCount))
		if !r.Until.IsZero() {
			m.refused = until(r.Until)
		}
	}
	for _, s := range l.Spent {
		m.spent |= 1 << number(s)
	}
	if g := l.Granted; g != nil {
		m.granted, m.grantedRefresh, m.grantedAge = number(g.Access), number(g.Refresh), -until(g.At)
	}
	if u := l.Unanswered; u != nil {
		m.unanswered, m.unansweredAge = number(u.Print), -until(u.At)
	}
	return m
}

// number is that of a fingerprint.
func number(fingerprint string) uint8 {
	if fingerprint == "" {
		return 0
	}
	return fingerprint[1] - '0'
}
