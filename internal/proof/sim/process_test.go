package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// process is one process of ours: a Source, and what the kernel knows of it. It
// dies by being cut off: from then on nothing that it does has an effect.
type process struct {
	w      *world
	pid    int
	name   string
	chance *rand.Rand
	src    *evercred.Source

	dead, closed bool
	killed       bool
	ops          int
	work         int    // of them those of the flight, for locks beat beside it
	dieAt        int    // the number of the call at which it is killed; 0: none
	actAt        int    // the number of the call before which act happens
	act          func() // what another program does between two calls of ours
	files        []*file
	heard        map[string]int // when (in work) it read a refresh token of an answer
	asked        []time.Time    // when its callers came
	conns        []net.Conn
	held         *memoryLock
}

var errDead = errors.New("the process is dead")

func (w *world) start() *process {
	w.pids++
	p := &process{w: w, pid: w.pids, name: fmt.Sprint("process ", w.pids), chance: rand.New(rand.NewPCG(w.seed, uint64(w.pids)<<32))}
	w.processes = append(w.processes, p)
	seams := &seam.Seams{Clock: w.machine, Rand: reader{p.chance}, Dial: p.dial, Procs: table{p}, FS: view{w.disk, p}}
	o := evercred.Options{Observe: p.observe, Seams: seams, Background: w.background}
	if w.memory != nil {
		p.src = evercred.New(&memoryStore{w.memory, p}, claudecode.Codec{}, w.client(seams), &o)
	} else {
		var err error
		if p.src, err = claudecode.OpenFile(w.path, &claudecode.Options{Options: o, TokenURL: w.endpoint.URL()}); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.roll(w.crashes) {
		p.dieAt = 1 + p.chance.IntN(400)
		if w.memory != nil {
			p.dieAt = 1 + p.chance.IntN(30)
		}
	}
	return p
}

// reader is chance as production takes it.
type reader struct{ r *rand.Rand }

func (c reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c.r.Uint32())
	}
	return len(b), nil
}

// table is the process table.
type table struct{ p *process }

func (t table) Self() procid.ID {
	return procid.ID{PID: t.p.pid, Start: "1", Boot: t.p.w.machine.boot, NS: "1"}
}

func (t table) Dead(id procid.ID) bool {
	w := t.p.w
	return id.Boot == w.machine.boot && id.PID > 0 && id.PID <= len(w.processes) && w.processes[id.PID-1].dead
}

// step performs one call on the disk, the store or the network.
func (p *process) step(op, name string, do func() error) error {
	if p.dead {
		return errDead
	}
	if p.w.concerns(op, name) {
		p.w.nap(p.chance)
	}
	if p.dead {
		return errDead
	}
	p.ops++
	if base := filepath.Base(name); strings.HasPrefix(base, "attempt-") || base == "memory" || name == p.w.path {
		p.work++
	}
	if p.ops == p.actAt && p.act != nil {
		p.w.saw("another program acts between two system calls")
		p.act()
	}
	if p.ops == p.dieAt {
		before := p.chance.IntN(2) == 0
		if !before {
			do()
		}
		p.kill("killed")
		return errDead
	}
	if err := p.w.trouble(op, name); err != nil {
		return err
	}
	return do()
}

// kill is SIGKILL.
func (p *process) kill(how string) {
	if p.dead {
		return
	}
	p.w.say(p.name, "%s at call %d", how, p.ops)
	p.w.saw(how)
	p.dead, p.killed = true, true
	p.w.deaths++
	closeAll(p.files)
	for _, c := range p.conns {
		c.Close()
	}
	if p.held != nil {
		p.held.Unlock()
	}
	p.end()
}

// end closes the Source; in a dead process only so that its goroutines end.
func (p *process) end() {
	if p.closed {
		return
	}
	p.closed = true
	p.w.actors.Go(func() {
		p.src.Close()
		if !p.dead {
			p.w.say(p.name, "closed")
		}
		p.dead = true
	})
}

func (p *process) open(v view, n *node, name string) fsys.File {
	n.opens++
	f := &file{v: v, n: n, name: name}
	p.files = append(p.files, f)
	return f
}

// busy: a flight may have begun long enough ago to have no time left.
func (p *process) busy() bool {
	return slices.ContainsFunc(p.asked, func(t time.Time) bool { ago := time.Since(t); return 25*time.Second < ago && ago < 100*time.Second })
}

func (p *process) observe(e evercred.Event) {
	if p.dead {
		return
	}
	p.w.say(p.name, "%s %s %s %v", e.Kind, e.Access, e.Refresh, reasonOf(e.Err))
	p.w.happened(e.Kind)
	if p.w.panics && p.chance.IntN(3) == 0 {
		panic("an observer's")
	}
}

// dial reaches the endpoint over a pipe.
func (p *process) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var c net.Conn
	if !wait(ctx, p.w.between(p.chance, 100*time.Microsecond, 80*time.Millisecond)) {
		return nil, ctx.Err()
	}
	err := p.step("dial", "", func() (err error) {
		if p.w.roll(p.w.outage) {
			p.w.saw("no connection")
			return syscall.ECONNREFUSED
		}
		c, err = p.w.pipes.dial(ctx, p.name)
		return err
	})
	if err == nil && p.dead {
		c.Close()
		err = errDead
	}
	if err == nil {
		p.conns = append(p.conns, c)
		c = ear{c, p}
	}
	return c, err
}

// ear notes what the process has heard, whether it then keeps it or not.
type ear struct {
	net.Conn
	p *process
}

func (e ear) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	for _, print := range refreshTokens(b[:n]) {
		if e.p.heard == nil {
			e.p.heard = map[string]int{}
		}
		e.p.heard[print] = e.p.work
	}
	return n, err
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pipes is the network: a listener without one.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, from string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- named{far, from}:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return address("pipe") }

// named tells the endpoint's log who sends.
type named struct {
	net.Conn
	from string
}

func (n named) RemoteAddr() net.Addr { return address(n.from) }

type address string

func (address) Network() string  { return "pipe" }
func (a address) String() string { return string(a) }

// machine is the clock that all processes share.
type machine struct {
	began       time.Time
	jump, slept time.Duration
	boot        string
}

func (m *machine) Now() time.Time       { return time.Now().Round(0).Add(m.jump + m.slept) }
func (m *machine) Boot() time.Duration  { return time.Since(m.began) + m.slept }
func (m *machine) Awake() time.Duration { return time.Since(m.began) }

// concerns: calls that take time. Only such as no mutex of production is held
// over that another goroutine could want: a bubble's time stands still while
// anybody waits for a mutex.
func (w *world) concerns(op, name string) bool {
	switch op {
	case "open", "stat", "rename", "store":
		return name == w.path
	case "write", "fdatasync":
		return strings.HasSuffix(name, ".open")
	}
	return false
}

// nap is how long a call takes: mostly nothing much, sometimes a disk's or a
// network's worst.
func (w *world) nap(chance *rand.Rand) {
	most := 300 * time.Microsecond
	switch chance.IntN(200) {
	case 0:
		most = 2 * time.Second
	case 1, 2, 3, 4:
		most = 30 * time.Millisecond
	}
	time.Sleep(w.between(chance, time.Microsecond, most))
}

// between is random to the nanosecond, so that no two things happen at once:
// what happens at one instant, happens in an order that no seed decides.
func (w *world) between(chance *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(chance.Int64N(int64(most-least)+1))
}

// trouble is what the disk answers instead.
func (w *world) trouble(op, name string) error {
	if !w.full {
		return nil
	}
	switch op {
	case "write", "fallocate", "mkdir":
	case "rename", "store save":
		if w.troubles == troubleRename && name != w.path {
			return nil
		}
	default:
		return nil
	}
	if w.troubles == troubleRename && op != "rename" && op != "store save" {
		return nil
	}
	w.saw("the disk is full")
	return syscall.ENOSPC
}

func (w *world) file(name string) string { return filepath.Join(filepath.Dir(w.path), name) }
