package credtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

// Place is one place where a document can live, and the ways to it. It is
// empty when TestStore gets it.
type Place struct {
	// Open gives a Store for the place. Each call may give another handle, and
	// should where processes would have one each, or the same one.
	Open func() evercred.Store
	// Write replaces the document behind the stores' back, as its owner would;
	// nil removes it.
	Write func(data []byte)
	// Read gives the bytes that the owner would see; nil: absent.
	Read func() []byte
	// Document gives the n-th of many different documents that the store takes;
	// nil: small JSON objects.
	Document func(n int) []byte
}

// secret stands in the suite's own documents; no error may repeat it.
const secret = "sk-ant-ort01-test-store-suite"

func (p Place) document(n int) []byte {
	if p.Document != nil {
		return p.Document(n)
	}
	return fmt.Appendf(nil, `{"n": %d, "secret": "%s"%s}`, n, secret, strings.Repeat(" ", n))
}

// The suite's patience: for what must happen, and for what must not.
const (
	patience = 30 * time.Second
	moment   = 200 * time.Millisecond
)

// TestStore checks that a store keeps the contract of evercred.Store, and those
// of evercred.Prober and evercred.Preparer if it has them. empty gives a fresh
// place for each check. A store whose lock follows slow protocol times should
// be given short ones.
func TestStore(t *testing.T, empty func(t *testing.T) Place) {
	for _, c := range storeChecks() {
		t.Run(c.name, func(t *testing.T) { c.run(t, empty(t)) })
	}
}

// storeCheck is one clause of the contract.
type storeCheck struct {
	name string
	run  func(testing.TB, Place)
}

func storeChecks() []storeCheck {
	return []storeCheck{
		{"Load/gives the bytes", loadGives},
		{"Load/nothing is ErrNotFound", loadNothing},
		{"Load/sees what the owner writes", loadSees},
		{"Save/replaces and reads back", saveReplaces},
		{"Save/a changed document is a conflict", saveConflict},
		{"Save/a removed document stays removed", saveRemoved},
		{"Save/the same bytes again are no conflict", saveTouched},
		{"Save/documents are snapshots", saveSnapshots},
		{"Save/a reader sees whole documents", saveWhole},
		{"Lock/excludes every handle", lockExcludes},
		{"Lock/the context bounds the wait", lockBounded},
		{"Lock/an ended context gets no lock", lockEnded},
		{"Lock/Check tells whose it is", lockCheck},
		{"Lock/Unlock is idempotent and frees nothing of others", lockUnlock},
		{"Lock/read, change, save under it loses nothing", lockCounts},
		{"Probe/tells a change", probe},
		{"Prepare/then Save", prepare},
	}
}

func loadGives(t testing.TB, p Place) {
	p.Write(p.document(1))
	if d := load(t, p.Open()); !bytes.Equal(d.Bytes(), p.document(1)) || d.IsZero() {
		t.Errorf("Load gave %v, not the bytes that were written", d)
	}
}

func loadNothing(t testing.TB, p Place) {
	d, err := p.Open().Load(t.Context())
	expect(t, p, "Load of nothing", err, evercred.ErrNotFound)
	if !d.IsZero() {
		t.Errorf("Load of nothing gave %v", d)
	}
	if p.Read() != nil {
		t.Error("Load created a document")
	}
}

func loadSees(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	load(t, s)
	p.Write(p.document(2))
	if d := load(t, s); !bytes.Equal(d.Bytes(), p.document(2)) {
		t.Error("Load gave an older document")
	}
	p.Write(nil)
	_, err := s.Load(t.Context())
	expect(t, p, "Load after a removal", err, evercred.ErrNotFound)
}

func saveReplaces(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	old := load(t, s)
	defer hold(t, s)()
	for n := 2; n < 5; n++ {
		d, err := s.Save(t.Context(), old, p.document(n))
		if err != nil {
			t.Fatalf("Save: %v", err)
		}
		if !bytes.Equal(d.Bytes(), p.document(n)) {
			t.Error("Save did not return what it wrote")
		}
		if !bytes.Equal(p.Read(), p.document(n)) || !bytes.Equal(load(t, p.Open()).Bytes(), p.document(n)) {
			t.Error("Save did not write")
		}
		old = d // what Save returns must do for the next Save
	}
}

func saveConflict(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	old := load(t, s)
	defer hold(t, s)()
	p.Write(p.document(2))
	_, err := s.Save(t.Context(), old, p.document(3))
	expect(t, p, "Save over a change", err, evercred.ErrConflict)
	if !bytes.Equal(p.Read(), p.document(2)) {
		t.Error("Save overwrote a change that it called a conflict")
	}
}

func saveRemoved(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	old := load(t, s)
	defer hold(t, s)()
	p.Write(nil)
	_, err := s.Save(t.Context(), old, p.document(2))
	expect(t, p, "Save over a removal", err, evercred.ErrConflict)
	if p.Read() != nil {
		t.Error("Save revived a login that its user ended")
	}
}

func saveTouched(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	old := load(t, s)
	defer hold(t, s)()
	p.Write(p.document(2))
	p.Write(p.document(1))
	if _, err := s.Save(t.Context(), old, p.document(3)); err != nil {
		t.Fatalf("the store holds old's bytes, but Save says: %v", err)
	}
	if !bytes.Equal(p.Read(), p.document(3)) {
		t.Error("Save did not write")
	}
}

func saveSnapshots(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	old := load(t, s)
	defer hold(t, s)()
	data := p.document(2)
	if _, err := s.Save(t.Context(), old, data); err != nil {
		t.Fatalf("Save: %v", err)
	}
	if !bytes.Equal(old.Bytes(), p.document(1)) {
		t.Error("Save changed a document that was loaded before")
	}
	clear(data)
	if !bytes.Equal(p.Read(), p.document(2)) || !bytes.Equal(load(t, s).Bytes(), p.document(2)) {
		t.Error("the store keeps the caller's bytes, not a copy")
	}
}

func saveWhole(t testing.TB, p Place) {
	const saves = 30
	p.Write(p.document(0))
	known := make(map[string]bool)
	for n := range saves + 1 {
		known[string(p.document(n))] = true
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		s := p.Open()
		wg.Go(func() {
			for reading := true; reading; {
				select {
				case <-stop:
					reading = false // and look a last time
				default:
				}
				if d, err := s.Load(t.Context()); err != nil || !known[string(d.Bytes())] {
					t.Errorf("a reader met %v, %v during a save", d, err)
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	s := p.Open()
	old := load(t, s)
	defer hold(t, s)()
	for n := 1; n <= saves; n++ {
		var err error
		if old, err = s.Save(t.Context(), old, p.document(n)); err != nil {
			t.Fatalf("Save: %v", err)
		}
	}
}

func lockExcludes(t testing.TB, p Place) {
	p.Write(p.document(1))
	unlock := hold(t, p.Open())
	defer unlock()
	mustNotLock(t, p, p.Open())

	done := make(chan error, 1)
	waiter := p.Open()
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		l, err := waiter.Lock(ctx)
		if err == nil {
			l.Unlock()
		}
		done <- err
	}()
	unlock()
	if err := <-done; err != nil {
		t.Errorf("Lock after the other's Unlock: %v", err)
	}
}

func lockBounded(t testing.TB, p Place) {
	p.Write(p.document(1))
	defer hold(t, p.Open())()
	s := p.Open()
	begin := time.Now()
	mustNotLock(t, p, s)
	if d := time.Since(begin); d > patience/3 {
		t.Errorf("Lock returned %v after its context ended", d-moment)
	}
}

func lockEnded(t testing.TB, p Place) {
	p.Write(p.document(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := p.Open().Lock(ctx)
	if err == nil {
		l.Unlock()
		t.Error("Lock with an ended context succeeded")
	}
	hold(t, p.Open())() // nothing was left behind
}

func lockCheck(t testing.TB, p Place) {
	p.Write(p.document(1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := p.Open().Lock(ctx)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	defer l.Unlock()
	if err := l.Check(); err != nil {
		t.Errorf("Check of a lock that is held: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	expect(t, p, "Check after Unlock", l.Check(), evercred.ErrLocked)
}

func lockUnlock(t testing.TB, p Place) {
	p.Write(p.document(1))
	a, b, c := p.Open(), p.Open(), p.Open()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	first, err := a.Lock(ctx)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	defer first.Unlock()
	if err := first.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	second, err := b.Lock(ctx)
	if err != nil {
		t.Fatalf("Lock after Unlock: %v", err)
	}
	defer second.Unlock()
	if err := first.Unlock(); err != nil {
		t.Errorf("second Unlock: %v", err)
	}
	if err := second.Check(); err != nil {
		t.Errorf("a second Unlock took the lock of another: %v", err)
	}
	mustNotLock(t, p, c)
}

func lockCounts(t testing.TB, p Place) {
	const clients, rounds = 4, 3
	p.Write(p.document(0))
	number := make(map[string]int)
	for n := range clients*rounds + 1 {
		number[string(p.document(n))] = n
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var wg sync.WaitGroup
	var inside atomic.Int32
	for range clients {
		s := p.Open()
		wg.Go(func() {
			for range rounds {
				if err := addOne(ctx, p, s, number, &inside); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := number[string(p.Read())]; n != clients*rounds {
		t.Errorf("%d of %d changes were kept", n, clients*rounds)
	}
}

// addOne replaces document n by document n+1.
func addOne(ctx context.Context, p Place, s evercred.Store, number map[string]int, inside *atomic.Int32) error {
	l, err := s.Lock(ctx)
	if err != nil {
		return fmt.Errorf("Lock: %w", err)
	}
	defer l.Unlock()
	if inside.Add(1) != 1 {
		err = errors.New("two hold the lock at once")
	}
	defer inside.Add(-1)
	old, loadErr := s.Load(ctx)
	if loadErr != nil {
		return fmt.Errorf("Load: %w", loadErr)
	}
	if checkErr := l.Check(); checkErr != nil {
		return fmt.Errorf("Check: %w", checkErr)
	}
	if _, saveErr := s.Save(ctx, old, p.document(number[string(old.Bytes())]+1)); saveErr != nil {
		return fmt.Errorf("Save under the lock: %w", saveErr)
	}
	return err
}

func probe(t testing.TB, p Place) {
	s := p.Open()
	prober, ok := s.(evercred.Prober)
	if !ok {
		t.Skip("not an evercred.Prober")
	}
	p.Write(p.document(1))
	last := load(t, s)
	ask := func(what string, want bool) {
		t.Helper()
		if changed, err := prober.Probe(t.Context(), last); err != nil || changed != want {
			t.Errorf("%s: Probe says %v, %v", what, changed, err)
		}
	}
	ask("unchanged", false)
	p.Write(p.document(20)) // of another length, so that no clock is needed to tell
	ask("changed", true)
	last = load(t, s)
	ask("loaded again", false)
	p.Write(nil)
	if changed, err := prober.Probe(t.Context(), last); !changed && !errors.Is(err, evercred.ErrNotFound) {
		t.Errorf("removed: Probe says %v, %v", changed, err)
	}
}

func prepare(t testing.TB, p Place) {
	s := p.Open()
	p.Write(p.document(1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := s.Lock(ctx)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	defer l.Unlock()
	preparer, ok := l.(evercred.Preparer)
	if !ok {
		t.Skip("not an evercred.Preparer")
	}
	old := load(t, s)
	if err := preparer.Prepare(ctx, old); err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	if !bytes.Equal(p.Read(), p.document(1)) {
		t.Error("Prepare changed the document")
	}
	if _, err := s.Save(ctx, old, p.document(2)); err != nil {
		t.Fatalf("Save after Prepare: %v", err)
	}
	if !bytes.Equal(p.Read(), p.document(2)) {
		t.Error("Save after Prepare did not write")
	}
}

func load(t testing.TB, s evercred.Store) evercred.Document {
	t.Helper()
	d, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return d
}

// hold takes the lock and returns what releases it.
func hold(t testing.TB, s evercred.Store) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := s.Lock(ctx)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	return func() { l.Unlock() }
}

// mustNotLock tries a lock that somebody else holds.
func mustNotLock(t testing.TB, p Place, s evercred.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), moment)
	defer cancel()
	l, err := s.Lock(ctx)
	if err == nil {
		l.Unlock()
		t.Fatal("a second lock was given while the first is held")
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		expect(t, p, "Lock of what is locked", err, evercred.ErrLocked)
	}
}

// expect wants an error of a kind that repeats nothing of a document.
func expect(t testing.TB, p Place, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: the error is %v, want one that is %q", what, err, kind)
	}
	if err != nil && leaks(fmt.Sprintf("%v %+v %#v", err, err, err), string(p.document(1)), secret) {
		t.Errorf("%s: the error repeats the document", what)
	}
}

// leaks reports whether text holds one of the secrets.
func leaks(text string, secrets ...string) bool {
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			return true
		}
	}
	return false
}
