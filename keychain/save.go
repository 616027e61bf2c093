package keychain

import (
	"bytes"
	"context"
	"errors"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/crash"
)

// Save replaces old by data and reads it back, because the program reports no
// failure. It needs the lock, taken through this Store.
//
// ErrConflict: the item does not hold old, or somebody wrote it at once.
// ErrLocked: a lock was lost, or the owner is writing. ErrUnsafe: it failed and
// old is still there, unless the message says that this could not be learned.
func (s *Store) Save(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
	h := s.holding()
	if h == nil {
		return evercred.Document{}, unsafeAt(evercred.ReasonBug, "save without the lock", s.item, nil)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := s.fits(len(data)); err != nil {
		return evercred.Document{}, err
	}
	check, release, err := h.ForWrite(ctx)
	if err != nil {
		return evercred.Document{}, err
	}
	defer release()
	crash.At(crash.BeforeSave)
	if err := s.still(ctx, old); err != nil {
		return evercred.Document{}, err
	}
	if err := check(); err != nil {
		return evercred.Document{}, err
	}
	data = bytes.Clone(data) // the document that is returned is nobody else's
	if err := s.put(context.WithoutCancel(ctx), old.Bytes(), data); err != nil {
		return evercred.Document{}, err
	}
	crash.At(crash.AfterSave)
	return s.document(data), nil
}

// put writes and judges by what the item holds then.
func (s *Store) put(ctx context.Context, old, data []byte) error {
	write := s.tool.write
	if len(data) > s.item.MaxLine() {
		write = s.tool.writeArgv // fits allowed it
	}
	failed := write(ctx, s.item, data)
	crash.At(crash.DuringSave)
	now, err := s.look(ctx)
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		return conflict(s.item, "the item was removed at once")
	case err != nil:
		return unsafeAt(evercred.ReasonCannotSave, "the item was written and cannot be read back", s.item, errors.Join(failed, err))
	case bytes.Equal(now, data):
		return nil
	case bytes.Equal(now, old):
		return unsafeAt(evercred.ReasonCannotSave, "the keychain did not take the write", s.item, failed)
	case bytes.HasPrefix(data, now):
		return unsafeAt(evercred.ReasonCannotSave, "the keychain program cut the document short", s.item, failed)
	}
	return conflict(s.item, "another program wrote the item at once")
}
