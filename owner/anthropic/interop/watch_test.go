//go:build unix

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
)

// watch stands between evercred and the disk and the network. It knows which
// refresh token the credentials file held when it was last read whole, and
// compares it with each that is sent.
type watch struct {
	fsys.OS
	path string

	mu   sync.Mutex
	held string // fingerprint
	bad  []error
}

func (w *watch) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	f, err := w.OS.OpenFile(name, flag, perm)
	switch {
	case err != nil:
		return nil, err
	case name == w.path && flag == os.O_RDONLY:
		return &watched{wrapped: wrapped{f}, w: w}, nil
	}
	return wrapped{f}, nil
}

// wrapped is a file whose attributes can be copied from another wrapped one.
type wrapped struct{ fsys.File }

func (f wrapped) bare() fsys.File { return f.File }

func (f wrapped) CopyAttrs(from fsys.File) error {
	if w, ok := from.(interface{ bare() fsys.File }); ok {
		from = w.bare()
	}
	return f.File.CopyAttrs(from)
}

// watched is the credentials file while it is read.
type watched struct {
	wrapped
	w    *watch
	text []byte
}

func (f *watched) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.text = append(f.text, p[:n]...)
	if err == io.EOF {
		f.w.looked(f.text)
	}
	return n, err
}

func (w *watch) looked(doc []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = refreshToken(doc)
}

func (w *watch) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &wire{c, w}, nil
}

// wire is a connection to the endpoint. A request is one Write.
type wire struct {
	net.Conn
	w *watch
}

func (c *wire) Write(p []byte) (int, error) {
	_, body, _ := bytes.Cut(p, []byte("\r\n\r\n"))
	c.w.sends(body)
	return c.Conn.Write(p)
}

func (w *watch) sends(body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch sent := refreshToken(body); {
	case sent == "":
		w.bad = append(w.bad, errors.New("a request without a refresh token"))
	case sent != w.held:
		w.bad = append(w.bad, fmt.Errorf("sent %s, the file held %s at the last look", sent, w.held))
	}
}

// verdict: everything that was sent was what the file held.
func (w *watch) verdict() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.bad...)
}

// refreshToken is the fingerprint of the member refresh_token; empty: none.
func refreshToken(doc []byte) string {
	var o struct {
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal(doc, &o) != nil {
		return ""
	}
	return evercred.NewSecret(o.Refresh).Fingerprint()
}

// older is a disk on which the credentials file does not change for its reader.
type older struct {
	*watch
	doc []byte
}

func newOlder(w *watch) (older, error) {
	doc, err := os.ReadFile(w.path)
	return older{w, doc}, err
}

func (o older) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	f, err := o.watch.OpenFile(name, flag, perm)
	if w, ok := f.(*watched); ok {
		return &oldFile{watched: w, doc: bytes.NewReader(o.doc)}, err
	}
	return f, err
}

// oldFile reads the file, so that the watch sees it, and shows another text.
type oldFile struct {
	*watched
	doc *bytes.Reader
}

func (f *oldFile) Read(p []byte) (int, error) {
	if f.doc.Len() > 0 {
		return f.doc.Read(p)
	}
	if _, err := io.Copy(io.Discard, f.watched); err != nil {
		return 0, err
	}
	return 0, io.EOF
}
