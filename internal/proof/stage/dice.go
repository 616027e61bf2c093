package stage

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
)

// Dice is chance that a seed repeats. The goroutine that keeps a lock fresh
// throws beside the one that refreshes, so any number may read from it.
func Dice(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &dice{chance: rand.NewChaCha8(key)}
}

type dice struct {
	mu     sync.Mutex
	chance *rand.ChaCha8
}

func (d *dice) Read(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.chance.Read(b)
}
