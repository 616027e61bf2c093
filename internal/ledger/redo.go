package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// redoName is the redo record: both documents of a write in place that is under
// way, or that was cut short. It holds secrets and does not outlive the write.
const redoName = "redo"

// maxRedo bounds what is read of a redo record. Documents are far below.
const maxRedo = 256 << 20

// redoHead is its first line; the old document follows, and then the new one.
type redoHead struct {
	Version int    `json:"version"`
	Old     int    `json:"old"` // bytes
	New     int    `json:"new"`
	Sum     string `json:"sum"`
}

// SetRedo makes the redo record durable: from now on, whatever a crash leaves of
// writing data over old can be told and mended.
func (g *Guard) SetRedo(old, data []byte) error {
	if err := g.Check(); err != nil {
		return err
	}
	b, err := encode(redoHead{FormatVersion, len(old), len(data), redoSum(old, data)})
	if err != nil {
		return err
	}
	b = append(append(b, old...), data...)
	if len(b) > maxRedo {
		return fmt.Errorf("%s: %d bytes are too many for a redo record", g.path, len(b))
	}
	if err := g.put(g.file(redoName), b); err != nil {
		return err
	}
	return g.syncDir(g.path)
}

// ClearRedo removes the redo record durably. Where there is none, it does nothing.
func (g *Guard) ClearRedo() error {
	err := g.s.FS.Remove(g.file(redoName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.syncDir(g.path)
}

// Redo is the redo record. found without documents: there is one that cannot be
// understood, good only to be cleared. One of a newer version is a NewerError.
func (l *Ledger) Redo() (old, data []byte, found bool, err error) {
	path := l.file(redoName)
	b, err := l.read(path, maxRedo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, err
	}
	line, rest, _ := bytes.Cut(b, []byte{'\n'})
	var head redoHead
	ok, err := decode(path, line, &head)
	if err != nil {
		return nil, nil, false, err
	}
	if !ok || head.Old < 0 || head.Old > len(rest) || head.New != len(rest)-head.Old {
		return nil, nil, true, nil
	}
	old, data = rest[:head.Old:head.Old], rest[head.Old:]
	if head.Sum != redoSum(old, data) {
		return nil, nil, true, nil
	}
	return old, data, true, nil
}

// redoSum tells a whole record from a torn one.
func redoSum(old, data []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", len(old), len(data))
	h.Write(old)
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
