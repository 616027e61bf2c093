package model

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Breadth first, so that the first counterexample is a shortest one. Of a state
// that was met only its hash is kept, and which step of which state led to it:
// a counterexample is walked again from the start. Two states with one hash of
// 64 bits would hide one another: at 10 million states the odds are 1 in
// 300,000 that any did.
type explorer struct {
	of     *Case
	pool   *pool
	seed   maphash.Seed
	shards [64]shard
	shows  func(states int, depth int)

	mu      sync.Mutex
	found   *lead
	settled sync.Map // worlds at rest, to what became of them
	counts  map[outcome]int
}

type shard struct {
	mu    sync.Mutex
	at    map[uint64]uint32
	nodes []node
}

// node is how a state was first reached.
type node struct {
	parent uint32
	step   uint16
}

type reached struct {
	w  world
	id uint32
}

// lead is a broken promise, and the way there.
type lead struct {
	id   uint32
	step int // -1: the state itself
	bad  string
}

type outcome struct{ fault, outcome string }

// result is what an exploration found.
type result struct {
	states, steps int
	depth         int
	took          time.Duration
	violation     string // with its trace
	counts        map[outcome]int
}

const workers = 2

// explore visits every state of a case.
func explore(ctx context.Context, of *Case, shows func(states, depth int)) (result, error) {
	began := time.Now()
	x := &explorer{of: of, pool: newPool(), seed: maphash.MakeSeed(), shows: shows, counts: map[outcome]int{}}
	for i := range x.shards {
		x.shards[i].at = map[uint64]uint32{}
	}
	first := of.world()
	root, _ := x.visit(&first, node{parent: none})
	level := []reached{{first, root}}
	var r result
	var steps atomic.Int64
	for r.states = 1; len(level) > 0 && x.found == nil && ctx.Err() == nil; r.depth++ {
		var next [workers][]reached
		var at atomic.Int64
		var wg sync.WaitGroup
		for n := range workers {
			wg.Go(func() {
				m := &machine{of: of, pool: x.pool}
				counts := map[outcome]int{}
				for ctx.Err() == nil {
					const batch = 256
					from := int(at.Add(batch)) - batch
					if from >= len(level) {
						break
					}
					for i := range level[from:min(from+batch, len(level))] {
						s := &level[from+i]
						all := m.steps(&s.w)
						steps.Add(int64(len(all)))
						for k := range all {
							t := &all[k]
							if t.bad != "" {
								x.report(lead{s.id, k, t.bad})
								continue
							}
							order(&t.w, nil)
							if id, novel := x.visit(&t.w, node{s.id, uint16(k)}); novel {
								next[n] = append(next[n], reached{t.w, id})
							}
						}
						if x.atRest(&s.w) {
							x.settle(m, s, counts)
						}
					}
				}
				x.mu.Lock()
				for o, n := range counts {
					x.counts[o] += n
				}
				x.mu.Unlock()
			})
		}
		wg.Wait()
		level = slices.Concat(next[:]...)
		r.states += len(level)
		if shows != nil {
			shows(r.states, r.depth)
		}
	}
	r.steps, r.counts, r.took = int(steps.Load()), x.counts, time.Since(began)
	if x.found != nil {
		r.violation = x.tell(first, *x.found)
	}
	return r, ctx.Err()
}

const none = ^uint32(0)

// order makes one of the worlds that differ only in which client is which: the
// clients run the same program, and nothing else names one of them.
func order(w *world, names *[maxClients]byte) {
	for i := 1; i < maxClients; i++ {
		for j := i; j > 0 && w.clients[j] < w.clients[j-1]; j-- {
			w.clients[j], w.clients[j-1] = w.clients[j-1], w.clients[j]
			if names != nil {
				names[j], names[j-1] = names[j-1], names[j]
			}
		}
	}
}

func (x *explorer) visit(w *world, n node) (id uint32, novel bool) {
	h := maphash.Comparable(x.seed, *w)
	k := h >> 58
	s := &x.shards[k]
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, met := s.at[h]; met {
		return id, false
	}
	id = uint32(k)<<26 | uint32(len(s.nodes))
	s.at[h] = id
	s.nodes = append(s.nodes, n)
	return id, true
}

func (x *explorer) report(l lead) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.found == nil || l.id < x.found.id {
		x.found = &l
	}
}

// atRest: nobody is at anything.
func (x *explorer) atRest(w *world) bool {
	for _, id := range w.clients[:x.of.clients] {
		if x.pool.clients.get(id).phase != idle {
			return false
		}
	}
	return w.alien == alien{}
}

// settle tries a recovery from a state at rest, once for all states that differ
// only in what could still have happened.
func (x *explorer) settle(m *machine, s *reached, counts map[outcome]int) {
	w := s.w
	fault := x.of.faults(&w)
	w.clients, w.left, w.late = [maxClients]uint32{}, budget{}, [maxTokens]uint8{}
	w.oracle.sends, w.oracle.calm, w.oracle.answered = 0, 0, s.w.oracle.answered
	h := maphash.Comparable(x.seed, w)
	what, ok := x.settled.Load(h)
	if !ok {
		out, bad := m.recovers(w)
		if bad != "" {
			x.report(lead{s.id, -1, bad})
			return
		}
		what = out
		x.settled.Store(h, out)
	}
	counts[outcome{fault, what.(string)}]++
}

// tell walks to a broken promise again, and says each step.
func (x *explorer) tell(w world, l lead) string {
	var way []int
	for id := l.id; id != none; {
		n := x.shards[id>>26].nodes[id&(1<<26-1)]
		if n.parent != none {
			way = append(way, int(n.step))
		}
		id = n.parent
	}
	slices.Reverse(way)
	if l.step >= 0 {
		way = append(way, l.step)
	}
	m := &machine{of: x.of, pool: x.pool, verbose: true, names: [maxClients]byte{'A', 'B', 'C'}}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  in case %q, after %d steps:", l.bad, x.of.Name, len(way))
	fmt.Fprintf(&b, "\n     - stored is %s", w.describe(w.doc))
	for i, k := range way {
		all := m.steps(&w)
		fmt.Fprintf(&b, "\n  %3d. %s", i+1, all[k].text)
		w = all[k].w
		order(&w, &m.names)
	}
	if l.step < 0 {
		b.WriteString("\n     - now every fault ends, and a new client comes")
	}
	return b.String()
}
