package crashes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/owner/claudecode"
)

// epoch is when every story begins. A bubble begins in 2000, and the codec takes
// times before that for no milliseconds.
var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is all that outlives a process.
type world struct {
	disk   *tree
	sends  []send // what reached the endpoint so far
	now    time.Time
	booted time.Time
	boots  int
	pids   int
}

// send is one request at the endpoint and how much of its answer was read.
type send struct {
	at      time.Time
	request []byte
	heard   int
}

// reboot is what a power cut is followed by.
func (w *world) reboot() {
	w.boots++
	w.now = w.now.Add(90 * time.Second)
	w.booted = w.now.Add(-30 * time.Second)
}

// machine is a world that goes on, inside a synctest bubble.
type machine struct {
	world
	place  place
	locks  map[uint64]*file
	server *issuer.Server
	line   *line
	first  issuer.Login // the login of the story
	second issuer.Login // of another account
	events map[evercred.EventKind]int
}

// place is where the login lies. dir is also a real, empty directory: the
// owner's lock protocol asks the real system to resolve its links.
type place struct {
	dir   string
	split int
}

func (p place) path() string { return filepath.Join(p.dir, ".credentials.json") }
func (p place) elsewhere() string {
	return filepath.Join(filepath.Dir(p.dir), "elsewhere", "login.json")
}

// start lets a world go on. The endpoint, which is the same at each start, is
// told again what it was told before.
func start(w world, at place, how issuer.Behaviour) *machine {
	m := &machine{world: w, place: at, locks: map[uint64]*file{}, line: &line{accept: make(chan net.Conn), closed: make(chan struct{})}, events: map[evercred.EventKind]int{}}
	sleepUntil(epoch)
	plain := how
	plain.BeforeCommit, plain.AfterCommit = 0, 0
	m.server = issuer.New(&issuer.Options{Seed: 1, Behaviour: plain, Listener: m.line})
	if _, err := m.server.Start(); err != nil {
		panic(err)
	}
	m.first, m.second = m.server.LoginFor(claudecode.ClientID), m.server.LoginFor(claudecode.ClientID)
	for _, s := range w.sends {
		sleepUntil(s.at)
		m.tell(s)
	}
	m.server.Behave(func(b *issuer.Behaviour) { *b = how })
	sleepUntil(w.now)
	return m
}

func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }

func (m *machine) tell(s send) {
	c, err := m.line.dial()
	if err != nil {
		panic(err)
	}
	if _, err := c.Write(s.request); err != nil {
		panic(err)
	}
	io.ReadFull(c, make([]byte, s.heard))
	c.Close()
	synctest.Wait()
}

func (m *machine) close() { m.server.Close() }

// snapshot is the world as it is now.
func (m *machine) snapshot() world {
	w := m.world
	w.disk, w.now = m.disk.clone(), time.Now()
	return w
}

// Now, Boot and Awake are timing.Clock.
func (m *machine) Now() time.Time       { return time.Now().Round(0) }
func (m *machine) Boot() time.Duration  { return time.Since(m.booted) }
func (m *machine) Awake() time.Duration { return time.Since(m.booted) }

// process starts another process.
func (m *machine) process() *process {
	m.pids++
	p := &process{m: m, id: procid.ID{PID: 1000 + m.pids, Start: fmt.Sprint(m.pids), Boot: fmt.Sprint("boot-", m.boots), NS: "ns"}}
	p.log.base = m.snapshot()
	return p
}

// refresh is what the process does in its life: it opens the login, refreshes
// and stays a while.
func (p *process) refresh(force bool, stay time.Duration) (evercred.Refreshed, error) {
	src, err := claudecode.OpenFile(p.m.place.path(), &claudecode.Options{
		TokenURL:       p.m.server.URL(),
		AllowFileMount: true,
		Options: evercred.Options{Seams: p.seams(), Observe: func(e evercred.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.m.events[e.Kind]++
		}},
	})
	if err != nil {
		panic(err)
	}
	defer src.Close()
	r, err := src.Refresh(context.Background(), force)
	time.Sleep(stay)
	return r, err
}

// patience is how many processes, one after the other, may find the login busy.
const patience = 10

// patiently starts processes until one has an answer that is not "try again".
func (m *machine) patiently(force bool) (first *process, r evercred.Refreshed, err error) {
	for range patience {
		p := m.process()
		if first == nil {
			first = p
		}
		r, err = p.refresh(force, 0)
		if err == nil || errors.Is(err, evercred.ErrLoginRequired) || errors.Is(err, evercred.ErrNotFound) {
			return first, r, err
		}
		time.Sleep(20 * time.Second)
	}
	return first, r, err
}

// line is a network of one endpoint, in memory.
type line struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *line) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *line) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *line) Addr() net.Addr { return pipe{} }

type pipe struct{}

func (pipe) Network() string { return "pipe" }
func (pipe) String() string  { return "pipe" }

func (l *line) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.accept <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (m *machine) dial(p *process) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		c, err := m.line.dial()
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.note(op{what: "connect"})
		return conn{c, p}, nil
	}
}

// The owner's hand: what it writes is on disk at once.

// document is the login as its owner writes it. Before it stands so much of a
// neighbour's that byte at.split of the part that is ours begins a page.
func (at place) document(access, refresh string, expires time.Time) []byte {
	return append(at.neighbour(), stage.Document(access, refresh, expires)[1:]...)
}

func (at place) neighbour() []byte {
	const begin, end = `{"history":"`, `",`
	return []byte(begin + strings.Repeat("x", page-len(begin)-len(end)+1-at.split) + end)
}

// foreign says what is wrong with the bytes around the login.
func (at place) foreign(doc []byte, inPlace bool) string {
	rest, ok := bytes.CutPrefix(doc, at.neighbour())
	if !ok {
		return "foreign bytes changed: what the neighbour keeps"
	}
	return stage.Foreign(append([]byte("{"), rest...), inPlace)
}

// put lays a file, or replaces its content, as somebody else's program does.
func (t *tree) put(path string, doc []byte, now time.Time) *node {
	if n := t.at(path); n != nil && n.names == nil {
		n.data, n.mtime = doc, now
		return n
	}
	t.last++
	n := &node{mode: 0o600, data: doc, birth: now, mtime: now}
	t.nodes[t.last] = n
	t.at(filepath.Dir(path)).names[filepath.Base(path)] = t.last
	return n
}

func (t *tree) mkdirAll(path string, now time.Time) {
	at := "/"
	for _, name := range elements(path) {
		dir := t.at(at)
		if dir.names[name] == 0 {
			t.last++
			t.nodes[t.last] = &node{mode: fs.ModeDir | 0o700, names: map[string]uint64{}, birth: now, mtime: now}
			dir.names[name] = t.last
		}
		at = filepath.Join(at, name)
	}
}

// remove unlinks the document, as a logout does.
func (t *tree) remove(path string) {
	delete(t.at(filepath.Dir(path)).names, filepath.Base(path))
}

// blank does what the owner does when the endpoint refuses it (INTEROP §2).
func (m *machine) blank() {
	m.disk.put(m.place.path(), m.place.document("", "", time.UnixMilli(0)), time.Now())
}
