package claudecode_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// R11: a Retry-After that a process heard before it died.
func TestR11WhatADeadProcessWasTold(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	l.ep.Queue(credtest.Limited("1800"))
	if r := l.child(crash.AfterAnswer); !r.killed {
		t.Fatal(r)
	}
	_, err := l.open().Token(context.Background())
	var e *evercred.Error
	errors.As(err, &e)
	if d := time.Until(e.RetryAt); d < 25*time.Minute {
		t.Errorf("cooldown %v: %v", d, err)
	}
}

// R20: the escrow of one login is never written into another one.
func TestR20AnOlderCopyOfAnotherLogin(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	backup, _ := os.ReadFile(l.path()) // login A, r1
	if r := l.child(""); r.token == "" {
		t.Fatal(r)
	} // r1 is spent now
	b := l.ep.LoginFor(claudecode.ClientID)
	l.id = 0
	l.write(document(b.Access, b.Refresh, time.Now().Add(-time.Minute), l.foreign)) // the user logs in as B
	if r := l.child(crash.AfterAnswer); !r.killed {
		t.Fatal(r)
	}
	l.write(backup) // A's copy comes back
	r := l.child("")
	t.Log(r.reason, r.text, r.token != "")
	if l.stored().Refresh.Reveal() == l.ep.Newest(b.ID) {
		t.Error("B's tokens were written into A's document")
	}
}

func TestR20TheEscrowWinsOverAnOlderCopy(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	backup, _ := os.ReadFile(l.path()) // r1
	if r := l.child(""); r.token == "" {
		t.Fatal(r)
	} // r2; r1 is spent
	c := l.stored()
	l.write(document(c.Access.Reveal(), c.Refresh.Reveal(), time.Now().Add(-time.Minute), l.foreign))
	if r := l.child(crash.AfterAnswer); !r.killed {
		t.Fatal(r)
	} // r3 in escrow
	l.write(backup)
	r := l.child("")
	if r.token == "" {
		t.Errorf("not recovered: %s", r.text)
	}
}

// Guarantee 2: a loss is told as one, though another process died in between.
func TestALossIsRememberedOverASecondDeath(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{AfterCommit: 20 * time.Millisecond})
	if r := l.child(crash.AfterSend); !r.killed {
		t.Fatal(r)
	}
	awaitCommit(t, l)
	if r := l.child(crash.AfterAnswer); !r.killed {
		t.Fatal(r)
	} // heard invalid_grant, died
	r := l.child("")
	if r.reason != "lost-answer" {
		t.Errorf("%s", r.text)
	}
}

func TestR5ALogoutEmptiesTheEscrow(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	if r := l.child(crash.AfterAnswer); !r.killed {
		t.Fatal(r)
	}
	l.logout()
	for range 3 {
		l.child("")
	}
	if l.escrowed() {
		t.Error("the user logged out; the successor's secrets are still in .evercred")
	}
}

func TestR5ALoggedOutLoginIsNotRevivedOverABlank(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	if r := l.child(crash.AfterAnswer); !r.killed {
		t.Fatal(r)
	}
	l.logout()
	if r := l.child(""); r.reason != "no-file" {
		t.Fatal(r)
	} // we saw that the user logged out
	b := l.ep.LoginFor(claudecode.ClientID)
	l.write(document(b.Access, b.Refresh, time.Now().Add(time.Hour), l.foreign))
	l.id = 0
	l.id = 0
	l.blank() // B was refused while only the owner ran
	r := l.child("")
	if r.token != "" {
		t.Errorf("account A, which its user logged out, is back in B's document: %v", l.stored().Refresh.Reveal() == l.ep.Newest(l.id))
	}
}

// A ledger that cannot be read for a moment must not turn the rescue of a
// blanked login into its end.
func TestR22BlankedAndTheLedgerUnreadable(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	if first := l.child(crash.AfterAnswer); !first.killed {
		t.Fatalf("%+v", first)
	}
	l.blank()
	broken := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == "ReadDir" {
			return syscall.EIO
		}
		return nil
	}}
	s := l.open(func(o *claudecode.Options) { o.Seams = &seam.Seams{FS: broken} })
	if _, err := s.Token(t.Context()); !errors.Is(err, evercred.ErrUnsafe) {
		t.Errorf("%v, want ErrUnsafe", err)
	}
	if next := l.child(""); next.token == "" {
		t.Errorf("not recovered: %s", next.text)
	}
	l.grants(1)
}

// A successor that was saved by a process now dead may be visible and not on
// disk: its attempt is kept until it is.
func TestF8TheEscrowOutlivesASaveThatIsNotOnDisk(t *testing.T) {
	l := newLogin(t, -time.Minute, credtest.Behaviour{})
	if first := l.child(crash.AfterSave); !first.killed {
		t.Fatalf("%+v", first)
	}
	broken := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == "File.Sync" && c.Path == l.dir {
			return syscall.EIO
		}
		return nil
	}}
	s := l.open(func(o *claudecode.Options) { o.Seams = &seam.Seams{FS: broken} })
	if tok, err := s.Token(t.Context()); err != nil || tok.Reveal() != l.stored().Access.Reveal() {
		t.Errorf("the saved token is not served: %v", err)
	}
	if !l.escrowed() {
		t.Error("the attempt is closed, and a power cut would bring the spent token back")
	}
	if next := l.child(""); next.token == "" {
		t.Errorf("%s", next.text)
	}
	l.noOpenAttempts()
	l.grants(1)
}
