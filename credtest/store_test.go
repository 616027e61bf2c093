package credtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

func TestStoreHooks(t *testing.T) {
	s := NewStore([]byte("one"))
	broken := errors.New("disk on fire")
	doc, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.FailLoad(func() error { return broken })
	if _, err := s.Load(t.Context()); !errors.Is(err, broken) || !errors.Is(err, evercred.ErrUnsafe) {
		t.Errorf("Load: %v", err)
	}
	s.FailLoad(func() error { return evercred.ErrNotFound })
	if _, err := s.Load(t.Context()); err != evercred.ErrNotFound {
		t.Errorf("Load: %v", err)
	}
	s.FailLoad(func() error { s.Set([]byte("two")); return nil }) // the owner writes at that moment
	if d, err := s.Load(t.Context()); err != nil || string(d.Bytes()) != "two" {
		t.Errorf("Load: %v, %v", d, err)
	}
	s.FailLoad(nil)
	s.FailSave(func() error { return broken })
	if _, err := s.Save(t.Context(), doc, []byte("three")); !errors.Is(err, broken) || string(s.Bytes()) != "two" || s.Saves() != 0 {
		t.Errorf("Save: %v, and the store holds %q", err, s.Bytes())
	}
	s.FailSave(nil)
	doc, _ = s.Load(t.Context())
	if _, err := s.Save(t.Context(), doc, []byte("three")); err != nil || string(s.Bytes()) != "three" || s.Saves() != 1 {
		t.Errorf("Save: %v, and the store holds %q", err, s.Bytes())
	}
}

func TestStoreEndedContext(t *testing.T) {
	s := NewStore([]byte("one"))
	doc, _ := s.Load(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx)
	_, saveErr := s.Save(ctx, doc, []byte("two"))
	_, probeErr := s.Probe(ctx, doc)
	for _, err := range []error{loadErr, saveErr, probeErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if string(s.Bytes()) != "one" {
		t.Error("a save without time was made")
	}
}

// L4: a lock that is stolen is noticed, and its old holder frees nothing.
func TestStealL4(t *testing.T) {
	s := NewStore(nil)
	if s.Steal() {
		t.Error("a lock that nobody holds was stolen")
	}
	first, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.Steal() {
		t.Error("nothing was stolen")
	}
	second, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Check(); !errors.Is(err, evercred.ErrLocked) {
		t.Errorf("the old holder's Check: %v", err)
	}
	first.Unlock()
	if err := second.Check(); err != nil {
		t.Errorf("the new holder's Check: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx); !errors.Is(err, evercred.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third Lock: %v", err)
	}
}
