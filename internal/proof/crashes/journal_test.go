package crashes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// journal is all that one process did to the disk and to the network, in order.
// Every prefix of it is a moment at which the process can be killed, and from
// every prefix follow the disks that a power cut can leave.
type journal struct {
	base world // before the first operation
	ops  []op
}

// op is one operation.
type op struct {
	what    string
	at      time.Time
	changes []*change
	synced  uint64 // this node's changes so far are on disk
	data    bool   // only those of its content
	wire    wire
	file    bool // it writes or syncs a file or directory
}

// idle: it changed nothing that a crash could show.
func (o op) idle() bool {
	return len(o.changes) == 0 && o.synced == 0 && o.wire.sent == nil && o.wire.heard == 0
}

// wire is what an operation did to the connection.
type wire struct {
	sent  []byte // the request that left
	heard int    // bytes of the answer that came
}

// killed is the world after a SIGKILL when k operations were done.
func (j *journal) killed(k int) world {
	w := j.until(k)
	for _, o := range j.ops[:k] {
		for _, c := range o.changes {
			w.disk.apply(c)
		}
	}
	return w
}

// page is what a write of a killed process can be cut at.
const page = 4096

// pages counts those that the operation after k would write.
func (j *journal) pages(k int) int {
	if k == len(j.ops) {
		return 0
	}
	return (len(j.ops[k].changes)*sector + page - 1) / page
}

// amid is the world after a SIGKILL within the operation after k, when n pages
// were written.
func (j *journal) amid(k, n int) world {
	w := j.killed(k)
	for _, c := range j.ops[k].changes {
		if c.size < 0 && c.off >= n*page {
			break
		}
		w.disk.apply(c)
	}
	return w
}

// until is the world when k operations were done, but for the disk.
func (j *journal) until(k int) world {
	w := j.base
	w.disk, w.sends = j.base.disk.clone(), append([]send(nil), j.base.sends...)
	for _, o := range j.ops[:k] {
		w.now = o.at
		if o.wire.sent != nil {
			w.sends = append(w.sends, send{at: o.at, request: o.wire.sent})
		}
		if o.wire.heard > 0 {
			w.sends[len(w.sends)-1].heard += o.wire.heard
		}
	}
	return w
}

// pending are the changes that k operations made, and which of them are not yet
// sure to be on disk.
func (j *journal) pending(k int) (all []*change, open []int) {
	for _, o := range j.ops[:k] {
		if o.synced != 0 {
			open = slices.DeleteFunc(open, func(i int) bool { return all[i].durable(o) })
		}
		for _, c := range o.changes {
			open, all = append(open, len(all)), append(all, c)
		}
	}
	return all, open
}

// durable: that sync makes the change so.
func (c *change) durable(o op) bool {
	content := !o.data || c.data != nil || c.size >= 0
	return c.ino == o.synced && len(c.names) == 0 && content || c.in(o.synced)
}

// in: that directory's entries are what tells the change. A rename counts for
// where it leads: a journal may hold it back though the other folder is synced.
func (c *change) in(dir uint64) bool {
	for _, e := range c.names {
		if e.dir == dir && (e.ino != 0 || len(c.names) == 1) {
			return true
		}
	}
	return false
}

// cut is the world after a power cut when k operations were done, and of the
// open changes those of keep had reached the disk.
func (j *journal) cut(k int, keep func(nth int) bool) world {
	w := j.until(k)
	all, open := j.pending(k)
	for _, c := range all { // a node is there as soon as anything names it
		if c.born != nil {
			w.disk.apply(&change{ino: c.ino, born: c.born, size: -1})
		}
	}
	nth := 0
	for i, c := range all {
		if nth < len(open) && open[nth] == i {
			if nth++; !keep(nth - 1) {
				continue
			}
		}
		w.disk.apply(c)
	}
	w.reboot()
	return w
}

// cuts chooses which subsets of n open changes are tried: all of them if they
// are few; else each beginning, each without one, each alone, and some by chance.
func cuts(n, limit int, chance *rand.Rand) (sets []func(int) bool, all bool) {
	if n < 16 && 1<<n <= limit {
		for bits := range 1 << n {
			sets = append(sets, func(i int) bool { return bits>>i&1 == 1 })
		}
		return sets, true
	}
	for m := range n + 1 {
		sets = append(sets, func(i int) bool { return i < m })
	}
	for m := range n {
		sets = append(sets, func(i int) bool { return i != m }, func(i int) bool { return i == m })
	}
	for len(sets) < limit {
		a, b := chance.Uint64(), chance.Uint64()
		sets = append(sets, func(i int) bool { return (a>>(i%64)^b>>(i*7%61))&1 == 1 })
	}
	chance.Shuffle(len(sets), func(a, b int) { sets[a], sets[b] = sets[b], sets[a] })
	return sets[:limit], false
}

// windows say for each number of done operations whether a loss is excusable:
// the request has left, and the last write of the answer (for a power cut, its
// fdatasync) has not returned (DESIGN §3.2).
func (j *journal) windows() (kill, power []bool) {
	kill, power = make([]bool, len(j.ops)+1), make([]bool, len(j.ops)+1)
	for i, o := range j.ops {
		if o.wire.sent == nil {
			continue
		}
		heard := -1
		for n := i + 1; n < len(j.ops) && j.ops[n].wire.sent == nil; n++ {
			if j.ops[n].wire.heard > 0 {
				heard = n
			}
		}
		// After the last piece: its write; the mark of the end; its fdatasync.
		for n, writes := i+1, 0; n <= len(j.ops) && writes < 3; n++ {
			kill[n], power[n] = kill[n] || writes < 1, true
			if heard >= 0 && n > heard && n < len(j.ops) && j.ops[n].file {
				writes++
			}
		}
	}
	return kill, power
}

func (j *journal) name(k int) string {
	if k == 0 {
		return "0 before all"
	}
	return fmt.Sprintf("%d after %s", k, j.ops[k-1].what)
}
