package claudecode_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/claudecode"
)

// The whole ledger goes while the request is under way (git clean, a curious
// user): what was answered is saved, and never sent again.
func TestL4TheLedgerGoesInMidFlight(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{AfterCommit: 300 * time.Millisecond})
	s := l.open()
	go func() { awaitArrived(l); os.RemoveAll(filepath.Join(l.dir, ".evercred")) }()
	l.servedAndSaved(s)
}

// servedAndSaved: the token is handed out now, is saved at the latest by Close,
// and its predecessor was sent once.
func (l *login) servedAndSaved(s *evercred.Source) {
	l.t.Helper()
	tok, err := s.Token(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		l.t.Error(err)
	}
	if l.stored().Access.Reveal() != tok.Reveal() {
		l.t.Error("the successor was not saved")
	}
	if n := l.ep.Requests(); n != 1 {
		l.t.Errorf("%d requests", n)
	}
}

func TestF4AttemptAndSaveFailAfterTheSend(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{AfterCommit: 100 * time.Millisecond})
	var bad atomic.Bool
	disk := &faulty.FS{Under: fsys.Default(), Fail: func(c faulty.Call) error {
		if bad.Load() && (strings.Contains(c.Op, "Write") || strings.Contains(c.Op, "Sync") || strings.Contains(c.Op, "Datasync") || c.Op == "Rename") {
			return errors.New("EIO")
		}
		return nil
	}}
	s := l.open(func(o *claudecode.Options) {
		o.Seams = &seam.Seams{FS: disk}
		o.Observe = func(e evercred.Event) {
			if e.Kind == evercred.EventSaveFailed {
				bad.Store(false) // the disk heals, too late for the ledger's record
			}
		}
	})
	go func() { awaitArrived(l); bad.Store(true) }()
	l.servedAndSaved(s)
}

// R1: another process saves, and notes the spent token, between our read of the
// document and our read of the memory. That is no older copy.
func TestR1SavedAndNotedBetweenTwoReads(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	other := l.open()
	var once atomic.Bool
	var tok2 evercred.Token
	disk := hookFS{fsys.Default(), func(name string) {
		if filepath.Base(name) == "memory" && once.CompareAndSwap(false, true) {
			tok2, _ = other.Token(context.Background())
		}
	}}
	s := l.open(func(o *claudecode.Options) { o.Seams = &seam.Seams{FS: disk} })
	tok, err := s.Token(context.Background())
	if err != nil {
		t.Errorf("other got its token: %v; we: %v", !tok2.IsZero(), err)
	} else if !tok.Equal(tok2) {
		t.Error("not the same token")
	}
}

// INTEROP §2: the owner puts a file in the place of the link; the memory follows.
func TestR11AfterTheOwnerReplacedTheLink(t *testing.T) {
	l := newLogin(t, time.Hour, credtest.Behaviour{})
	dot := filepath.Join(filepath.Dir(l.dir), "dotfiles")
	os.Mkdir(dot, 0o700)
	os.Rename(l.path(), filepath.Join(dot, "creds.json"))
	os.Symlink(filepath.Join(dot, "creds.json"), l.path())
	s := l.open()
	if _, err := s.Token(context.Background()); err != nil {
		t.Fatal(err)
	}
	// the owner refreshes and replaces the link by a file
	c := l.stored()
	os.Remove(l.path())
	l.write(document(c.Access.Reveal(), c.Refresh.Reveal(), time.Now().Add(-time.Minute), l.foreign))
	for range 20 {
		l.ep.Queue(credtest.Limited("1800"))
	}
	for range 5 {
		if _, err := s.Refresh(context.Background(), true); !errors.Is(err, evercred.ErrUnavailable) {
			t.Error(err)
		}
	}
	if n := len(l.ep.Audit()); n > 1 {
		t.Errorf("%d requests after a 429 with Retry-After 1800", n)
	}
	os.RemoveAll(dot)
}

// §6.8b: the owner rewrites its profile members during the pause before a repeat.
func TestR9TheOwnerRewritesItsFileDuringAPause(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	l.ep.Queue(credtest.ResetAfter())
	s := l.open(func(o *claudecode.Options) {
		o.Observe = func(e evercred.Event) {
			if e.Kind == evercred.EventUnknown { // right before the pause
				b, _ := os.ReadFile(l.path())
				l.write([]byte(strings.Replace(string(b), `"max"`, `"max", "subscriptionTypeSource":"x"`, 1)))
			}
		}
	})
	_, err := s.Token(context.Background())
	var e *evercred.Error
	errors.As(err, &e)
	if e.Reason != evercred.ReasonLostAnswer {
		t.Errorf("reason %s: %v", e.Reason, err)
	}
	l.foreign = l.foreign[:2]
}

// R8: a flight that was stopped before it sent must not keep others from trying.
func TestR8StoppingTeachesNothing(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	dialing := make(chan bool, 9)
	s := l.open(func(o *claudecode.Options) {
		o.Seams = &seam.Seams{Dial: func(ctx context.Context, n, a string) (net.Conn, error) {
			dialing <- true
			<-ctx.Done()
			return nil, ctx.Err()
		}}
	})
	go s.Token(context.Background())
	<-dialing
	s.Close()
	_, err := l.open().Token(context.Background())
	if err != nil {
		t.Errorf("the next process: %v", err)
	}
}

// F11: no grant beside a memory that we cannot read.
func TestF11AMemoryOfANewerVersion(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	os.MkdirAll(filepath.Join(l.dir, ".evercred", ".credentials.json"), 0o700)
	os.WriteFile(filepath.Join(l.dir, ".evercred", "VERSION"), []byte("1\n"), 0o600)
	os.WriteFile(filepath.Join(l.dir, ".evercred", ".credentials.json", "memory"), []byte(`{"version":2}`), 0o600)
	for range 20 {
		l.ep.Queue(credtest.Limited("1800"))
	}
	s := l.open()
	var err error
	for range 5 {
		_, err = s.Token(context.Background())
	}
	if n := len(l.ep.Audit()); n > 0 {
		t.Errorf("%d requests against a memory of a newer version: %v", n, err)
	}
}

// §6.8a: what does not leave has 5 s (here a tenth), not the whole timeout.
func TestR9bABlackHole(t *testing.T) {
	l := newLogin(t, 5*time.Minute, credtest.Behaviour{})
	times := timing.Default()
	times.UnsentWithin /= 10
	s := l.open(func(o *claudecode.Options) {
		o.Seams = &seam.Seams{Times: &times, Dial: func(ctx context.Context, n, a string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}
	})
	began := time.Now()
	_, err := s.Token(context.Background())
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("a token good for 5 min was served after %v, with the owner's locks held: %v", d, err)
	}
}

func TestF4TheMarkOfASendFails(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	writes := map[string]int{}
	disk := &faulty.FS{Under: fsys.Default()}
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.WriteAt" && strings.HasSuffix(c.Path, ".open") {
			writes[c.Path]++
			if writes[c.Path] > 1 {
				return errors.New("EIO")
			}
		}
		return nil
	}
	for range 500 {
		l.ep.Queue(credtest.ResetBefore())
	}
	s := l.open(func(o *claudecode.Options) { o.Seams = &seam.Seams{FS: disk}; o.RefreshTimeout = 3 * time.Second })
	_, err := s.Token(context.Background())
	if n := l.ep.Requests(); n > 4 {
		t.Errorf("%d requests in 3 s: %v", n, err)
	}
}

func TestF4NothingIsSentWithoutAMark(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	l.ep.Queue(credtest.ResetAfter())
	n := 0
	disk := &faulty.FS{Under: fsys.Default()}
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.WriteAt" && strings.HasSuffix(c.Path, ".open") {
			if n++; n > 1 {
				return errors.New("EIO")
			}
		}
		return nil
	}
	s := l.open(func(o *claudecode.Options) {
		o.Seams = &seam.Seams{FS: disk}
		o.RefreshTimeout = 300 * time.Millisecond
	})
	s.Token(context.Background())
	var sm *seam.Seams
	led := ledger.Open(l.dir, ".credentials.json", sm.Filled())
	as, _ := led.Attempts()
	for _, a := range as {
		if a.NeverSent(sm.Filled().Procs.Self().Boot) && l.ep.Requests() > 0 {
			t.Error("a request left and was committed; the ledger says it never left")
		}
	}
	if l.ep.Requests() > 0 {
		t.Error("sent without a mark")
	}
}

type hookFS struct {
	fsys.FS
	before func(name string)
}

func (h hookFS) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	h.before(name)
	return h.FS.OpenFile(name, flag, perm)
}

// awaitArrived waits for the first request.
func awaitArrived(l *login) {
	_ = l.ep.Await(context.Background(), func(log []credtest.Record) bool { return len(log) > 0 })
}

// sick is a login on a disk of which ledger and save fail from the arrival of the request until the save failed.
func sick(t *testing.T, left time.Duration) (*login, *evercred.Source) {
	l := newLogin(t, left, credtest.Behaviour{AfterCommit: 100 * time.Millisecond})
	var bad atomic.Bool
	disk := &faulty.FS{Under: fsys.Default(), Fail: func(c faulty.Call) error {
		if bad.Load() && (strings.Contains(c.Op, "Write") || strings.Contains(c.Op, "Sync") || strings.Contains(c.Op, "Datasync") || c.Op == "Rename") {
			return errors.New("EIO")
		}
		return nil
	}}
	s := l.open(func(o *claudecode.Options) {
		o.Seams = &seam.Seams{FS: disk}
		o.Observe = func(e evercred.Event) {
			if e.Kind == evercred.EventSaveFailed {
				bad.Store(false)
			}
		}
	})
	go func() { awaitArrived(l); bad.Store(true) }()
	return l, s
}

// R4, R22: a loser blanks the file while the successor is in memory alone.
func TestR4MemoryIsSavedOverABlank(t *testing.T) {
	l, s := sick(t, -time.Minute)
	tok, err := s.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l.blank()
	s.Close()
	if l.stored().Access.Reveal() != tok.Reveal() {
		t.Error("blanked by a loser; the successor in memory was not saved")
	}
}

// Another process learns that the old token is dead; we hold its successor.
func TestF4MemoryIsSavedWhateverOthersLearned(t *testing.T) {
	l, s := sick(t, -time.Minute)
	tok, err := s.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.open().Token(context.Background()); !errors.Is(err, evercred.ErrLoginRequired) {
		t.Errorf("the other process: %v", err)
	}
	s.Close()
	if l.stored().Access.Reveal() != tok.Reveal() {
		t.Error("another process noted the old token as dead; the successor in memory was not saved")
	}
}

func TestF4AForcedSuccessorIsSaved(t *testing.T) {
	l, s := sick(t, 2*time.Hour)
	r, err := s.Refresh(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if l.stored().Access.Reveal() != r.Token.Reveal() {
		t.Error("forced: the successor in memory was not saved")
	}
}
