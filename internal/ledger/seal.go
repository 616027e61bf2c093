package ledger

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// KeySize is that of AES-256.
const KeySize = 32

// Key gives the key that answers are sealed with on disk, KeySize bytes. It is
// asked at Begin, and when an attempt is read that holds a sealed answer.
//
// ErrNoKey: it is lost, and what it sealed cannot be read any more. Any other
// error: it cannot be had now.
type Key func() ([]byte, error)

// ErrNoKey: the key of the sealed answers is gone for good.
var ErrNoKey = errors.New("the key of the escrow is gone")

// errDark: this piece was not sealed with the key at hand, or not for this place.
var errDark = errors.New("sealed with another key")

// errAway: the key cannot be had now, so nothing is known of what it sealed.
var errAway = errors.New("the key of the escrow cannot be had now")

// The parts of a sealed piece beside its text.
const (
	nonceSize = 12
	tagSize   = 16
	sealRoom  = nonceSize + tagSize
)

// Sealed is the same ledger with its answers sealed by AES-256-GCM, each piece
// for itself as it arrives, so that a crash leaves every whole piece readable.
// Intents, marks and times stay in clear; they hold no secret. Without a key
// (a ledger from Open) a sealed answer counts as none.
func (l *Ledger) Sealed(key Key) *Ledger {
	sealed := *l
	sealed.key = key
	return &sealed
}

// box seals and opens the pieces of one attempt.
type box struct {
	aead cipher.AEAD
	rand io.Reader
	id   string
}

// box asks for the key.
func (l *Ledger) box(id string) (*box, error) {
	if l.key == nil {
		return nil, ErrNoKey
	}
	key, err := l.key()
	if err != nil {
		return nil, err
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrNoKey, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &box{aead, l.s.Rand, id}, err
}

// place binds a piece to its attempt and its offset there, so that none can be
// moved, repeated or put into another attempt unnoticed.
func (b *box) place(off int64) []byte {
	return binary.LittleEndian.AppendUint64([]byte("evercred attempt "+b.id+" "), uint64(off))
}

// seal gives nonce, text and tag of the piece whose frame stands at off.
func (b *box) seal(off int64, p []byte) ([]byte, error) {
	nonce := make([]byte, nonceSize, sealRoom+len(p))
	if _, err := io.ReadFull(b.rand, nonce); err != nil {
		return nil, fmt.Errorf("random: %w", err)
	}
	return b.aead.Seal(nonce, nonce, p, b.place(off)), nil
}

func (b *box) open(off int64, sealed []byte) ([]byte, error) {
	p, err := b.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], b.place(off))
	if err != nil {
		return nil, errDark
	}
	return p, nil
}

// opener opens the sealed pieces of one attempt that is read. It asks for the
// key when it meets the first.
func (l *Ledger) opener(id string) func(off int64, sealed []byte) ([]byte, error) {
	var b *box
	return func(off int64, sealed []byte) ([]byte, error) {
		if b == nil {
			var err error
			if b, err = l.box(id); errors.Is(err, ErrNoKey) {
				return nil, errDark
			} else if err != nil {
				return nil, fmt.Errorf("%w: %w", errAway, err)
			}
		}
		return b.open(off, sealed)
	}
}
