package cuts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"

	"github.com/evercred/evercred/internal/fsys"
)

// cut is how one connection is broken. The zero value is a connection that
// cannot be made.
type cut struct {
	connects bool
	in, out  int  // bytes that come, and that leave, before the end; -1: all
	reset    bool // the end is an RST, not a FIN
	turned   bool // the refresh token comes before the access token
}

var whole = cut{connects: true, in: -1, out: -1}

// network is one endpoint in memory. Connections are broken as cuts says, in
// turn; those that come later are as last says.
type network struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	cuts  []cut
	last  cut
	dials int
	got   []byte // what the client read on its first connection
	left  int    // what it wrote there
}

func newNetwork(last cut, cuts ...cut) *network {
	return &network{accept: make(chan net.Conn), closed: make(chan struct{}), cuts: cuts, last: last}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { n.once.Do(func() { close(n.closed) }); return nil }
func (n *network) Addr() net.Addr { return pipe{} }

type pipe struct{}

func (pipe) Network() string { return "pipe" }
func (pipe) String() string  { return "pipe" }

// mend makes all later connections whole.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts, n.last = nil, whole
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	c := n.last
	if len(n.cuts) > 0 {
		c, n.cuts = n.cuts[0], n.cuts[1:]
	}
	n.dials++
	first := n.dials == 1
	n.mu.Unlock()
	if !c.connects {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	select {
	case n.accept <- far:
		return &conn{Conn: near, cut: c, network: n, first: first}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conn is a connection that breaks.
type conn struct {
	net.Conn
	cut
	network *network
	first   bool
	turning io.Reader // the answer with its members turned round
	wrote   int
}

func (c *conn) broken() error {
	c.Conn.Close()
	if c.reset {
		return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return io.EOF
}

func (c *conn) Read(b []byte) (int, error) {
	if c.in == 0 {
		return 0, c.broken()
	}
	if c.in > 0 {
		b = b[:min(len(b), c.in)]
	}
	if c.turned && c.turning == nil {
		raw, err := io.ReadAll(c.Conn)
		if err != nil {
			return 0, err
		}
		c.turning = bytes.NewReader(turn(raw))
	}
	from := io.Reader(c.Conn)
	if c.turned {
		from = c.turning
	}
	n, err := from.Read(b)
	if c.in > 0 {
		c.in -= n
	}
	if c.first {
		c.network.mu.Lock()
		c.network.got = append(c.network.got, b[:n]...)
		c.network.mu.Unlock()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if c.out < 0 || c.wrote+len(b) < c.out {
		n, err := c.Conn.Write(b)
		c.wrote += n
		if c.first {
			c.network.left = c.wrote
		}
		return n, err
	}
	n := 0
	if room := c.out - c.wrote; room > 0 {
		n, _ = c.Conn.Write(b[:room])
		c.wrote += n
	}
	c.Conn.Close()
	return n, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

// turn puts the refresh token first, which no answer of the endpoint's does.
func turn(raw []byte) []byte {
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	at := bytes.Index(body, []byte(`,"refresh_token":"`))
	end := at + len(`,"refresh_token":"`)
	end += bytes.IndexByte(body[end:], '"') + 1
	member := body[at+1 : end]
	return fmt.Appendf(nil, "%s\r\n\r\n{%s,%s%s", head, member, body[1:at], body[end:])
}

// quick is the real file system without its syncs, which no cut depends on.
type quick struct{ fsys.OS }

type file struct{ fsys.File }

func (q quick) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	return unsynced(q.OS.OpenFile(name, flag, perm))
}

func (q quick) OpenDir(name string) (fsys.File, error) { return unsynced(q.OS.OpenDir(name)) }

func unsynced(f fsys.File, err error) (fsys.File, error) {
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (file) Sync() error     { return nil }
func (file) Datasync() error { return nil }

func (f file) CopyAttrs(from fsys.File) error { return f.File.CopyAttrs(from.(file).File) }
