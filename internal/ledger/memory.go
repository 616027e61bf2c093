package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"

	"github.com/evercred/evercred/internal/fsys"
)

// maxSpent is how many spent fingerprints are remembered (DESIGN §6.2).
const maxSpent = 16

// Memory is the shared memory; the zero value where there is none. On an absent
// ledger it costs one system call.
func (l *Ledger) Memory() (Memory, error) {
	path := l.file(memoryName)
	b, err := l.read(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return Memory{}, nil
	}
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	ok, err := decode(path, b, &m)
	if err != nil {
		return Memory{}, err
	}
	if !ok {
		return Memory{Corrupt: true}, nil
	}
	return m, nil
}

// Noted describes the file that the memory is kept in: another one, or another
// time, means that a process of ours noted something. The zero value where there
// is none.
func (l *Ledger) Noted() (fsys.Info, error) {
	i, err := l.s.FS.Lstat(l.file(memoryName))
	if errors.Is(err, fs.ErrNotExist) {
		return fsys.Info{}, nil
	}
	return i, err
}

// SetMemory replaces the memory, all but its Sights, at once. A change of what
// must not be forgotten (a refusal, a spent token, a grant, a send without
// answer) is durable when it returns; a cooldown may be lost with the power.
func (g *Guard) SetMemory(m Memory) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	old, err := g.Ledger.Memory()
	if err != nil {
		return err
	}
	m = successor(old, m)
	if err := g.putMemory(m); err != nil {
		return err
	}
	if bytes.Equal(lasting(old), lasting(m)) {
		return nil
	}
	return g.syncDir(g.path)
}

// Sights are what waiters saw of other programs' locks.
func (g *Guard) Sights() []Sight {
	m, err := g.Memory()
	if err != nil {
		return nil // nothing seen: the watching starts anew
	}
	return m.Sights
}

// SetSights replaces them.
func (g *Guard) SetSights(sights []Sight) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, err := g.Ledger.Memory()
	if err != nil {
		return err
	}
	m.Version = FormatVersion
	m.Sights = sights
	return g.putMemory(m)
}

func (g *Guard) putMemory(m Memory) error {
	if err := g.check(); err != nil {
		return err
	}
	b, err := encode(m)
	if err != nil {
		return err
	}
	return g.put(g.file(memoryName), b)
}

// successor is the memory to be kept after old when m is asked for.
func successor(old, m Memory) Memory {
	m = m.clone()
	m.Version = FormatVersion
	m.Sights = slices.Clone(old.Sights)
	m.Spent = m.Spent[max(0, len(m.Spent)-maxSpent):]
	m.Corrupt = false
	return m
}

// lasting is what of m must not be forgotten.
func lasting(m Memory) []byte {
	b, _ := json.Marshal([]any{m.Print, m.Dead, m.Spent, m.Unanswered, m.Granted})
	return b
}

func (m Memory) clone() Memory {
	m.Cooldown = copied(m.Cooldown)
	m.Dead = copied(m.Dead)
	m.Refused = copied(m.Refused)
	m.Granted = copied(m.Granted)
	m.Unanswered = copied(m.Unanswered)
	m.Spent = slices.Clone(m.Spent)
	m.Sights = slices.Clone(m.Sights)
	return m
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
