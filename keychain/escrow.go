package keychain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/ledger"
)

// escrowKey is what is known of the key, under Store.mu.
type escrowKey struct {
	key []byte
	err error     // why it could not be read
	at  time.Time // when
}

// keyItem is where the key is kept.
func (s *Store) keyItem() Item { return Item{escrowService, s.item.ledgerName()} }

// escrow is the ledger's Key. It asks the keychain once, and after a failure
// no sooner than in a while: whoever waits for a lock looks at the ledger often.
func (s *Store) escrow() ([]byte, error) {
	s.mu.Lock()
	k := s.key
	s.mu.Unlock()
	since := s.seams.Clock.Now().Sub(k.at)
	if k.key != nil || k.err != nil && since >= 0 && since < s.seams.Times.KeychainProbe/10 {
		return k.key, k.err
	}
	return s.readKey(context.Background()) // bounded by the time of a call
}

// readKey asks the keychain. ledger.ErrNoKey: there is none, or what stands in
// its place is none.
func (s *Store) readKey(ctx context.Context) ([]byte, error) {
	text, err := s.tool.find(ctx, s.keyItem())
	var key []byte
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		err = ledger.ErrNoKey
	case err == nil:
		key, err = parseKey(text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = escrowKey{key, err, s.seams.Clock.Now()}
	return key, err
}

// The text of a key item: digits that must not pass for the hexadecimal form
// of something that does not print.
const keyPrefix = "v1:"

func parseKey(text []byte) ([]byte, error) {
	digits := string(text)
	if len(digits) == len(keyPrefix)+2*ledger.KeySize && digits[:len(keyPrefix)] == keyPrefix {
		if key, err := hex.DecodeString(digits[len(keyPrefix):]); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: what stands in its place is none", ledger.ErrNoKey)
}

// makeKey makes sure, before anything is spent, that the key can be read by
// whoever will recover the answer: it is read, or made and read back. One that
// stands there is never replaced, since something may be sealed with it.
func (s *Store) makeKey(ctx context.Context) error {
	_, err := s.readKey(ctx)
	if errors.Is(err, ledger.ErrNoKey) {
		var fresh [ledger.KeySize]byte
		if _, err := io.ReadFull(s.seams.Rand, fresh[:]); err != nil {
			return s.noEscrow(err)
		}
		failed := s.tool.create(ctx, s.keyItem(), []byte(keyPrefix+hex.EncodeToString(fresh[:])))
		if _, err = s.readKey(ctx); err != nil {
			err = errors.Join(failed, err)
		}
	}
	return s.noEscrow(err)
}

// noEscrow explains why there is no key; what is explained already stays.
func (s *Store) noEscrow(err error) error {
	if e := (*evercred.Error)(nil); err == nil || errors.As(err, &e) {
		return err
	}
	return unsafeAt(evercred.ReasonKeychainFailed, "the key that the escrow is sealed with cannot be made", s.keyItem(), err)
}
