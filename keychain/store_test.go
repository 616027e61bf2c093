package keychain

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/ledger"
)

// wants checks the sentinel and the reason of an error, and that it is no other
// sentinel: locked and unknown are not "nobody is logged in".
func wants(t *testing.T, what string, err, kind error, reason evercred.Reason) {
	t.Helper()
	var e *evercred.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || e.Reason != reason {
		t.Errorf("%s: %v, want %q with reason %s", what, err, kind, reason)
	}
	if kind != evercred.ErrNotFound && errors.Is(err, evercred.ErrNotFound) {
		t.Errorf("%s: %v passes for a logout", what, err)
	}
}

func TestLoadTellsItsFailuresApart(t *testing.T) { // INTEROP §7
	c := newScene(t)
	s := c.open()
	_, err := s.Load(t.Context())
	wants(t, "absent", err, evercred.ErrNotFound, evercred.ReasonNoFile)
	c.set(`{"secret":"s"}`)
	c.Behave(credtest.SecurityBehaviour{Locked: true})
	_, err = s.Load(t.Context())
	wants(t, "locked", err, evercred.ErrUnsafe, evercred.ReasonKeychainLocked)
	for _, code := range []int{1, 2, 45, 51, 128, 255} {
		c.Behave(credtest.SecurityBehaviour{FindExit: code})
		_, err = s.Load(t.Context())
		wants(t, fmt.Sprint("exit ", code), err, evercred.ErrUnsafe, evercred.ReasonKeychainFailed)
	}
	gone := New(c.item, c.dir, nil)
	gone.tool.path = filepath.Join(c.dir, "no such program")
	_, err = gone.Load(t.Context())
	wants(t, "no program", err, evercred.ErrUnsafe, evercred.ReasonKeychainFailed)
	c.Behave(credtest.SecurityBehaviour{})
	if d := c.load(s); string(d.Bytes()) != `{"secret":"s"}` || !strings.Contains(d.Place(), "Claude Code-credentials") {
		t.Errorf("%q at %s", d.Bytes(), d.Place())
	}
}

// A prompt that never comes back is given up in bounded time, even by a program
// that does not heed TERM; and the caller's own context ends it sooner.
func TestLoadGivesUpAPrompt(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		c := newScene(t)
		c.brief()
		c.set("{}")
		c.Behave(credtest.SecurityBehaviour{Hang: true, Deaf: deaf})
		began := time.Now()
		_, err := c.open().Load(t.Context())
		wants(t, "hanging", err, evercred.ErrUnsafe, evercred.ReasonKeychainFailed)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("deaf %v: given up after %v", deaf, took)
		}
	}
	c := newScene(t)
	c.Behave(credtest.SecurityBehaviour{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.open().Load(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's context: %v", err)
	}
}

// What does not print comes in hexadecimal, and is decoded; what is JSON is not.
func TestLoadDecodesHex(t *testing.T) {
	c := newScene(t)
	s := c.open()
	for _, doc := range []string{
		`{"a":1}`, "{\n \"a\": 1\n}\n", `{"é":"\u00e9"}`, "7b7d", "1234", `"abcd"`, "", "not json", "abc", strings.Repeat("{\"x\":\n", 1000),
	} {
		c.set(doc)
		want := doc
		if doc == "7b7d" { // the one thing that cannot be told; it is no login
			want = "{}"
		}
		if got := c.load(s); string(got.Bytes()) != want {
			t.Errorf("%.20q was read as %.20q", doc, got.Bytes())
		}
	}
}

// FuzzOutput: whatever the program writes, reading ends in bytes that are the
// output's or what its digits say, and JSON is never taken for digits.
func FuzzOutput(f *testing.F) {
	for _, seed := range []string{"", "\n", "{}\n", "{\"a\":1}", "7b7d\n", "7B7d", "7b7", "1234\n", "5e35", "7b0a7d\n\n", "zz\n", "\xff\x00\n", "7b 7d"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		given := bytes.Clone(out)
		got := password(out)
		if !bytes.Equal(out, given) {
			t.Fatal("the output was changed")
		}
		text := strings.TrimSuffix(string(out), "\n")
		if decoded, err := hex.DecodeString(text); err == nil && !json.Valid([]byte(text)) {
			text = string(decoded)
		}
		if string(got) != text {
			t.Fatalf("%q was read as %q, want %q", out, got, text)
		}
	})
}

// The limit is that of the line, to the byte: one more and the program cuts it.
func TestMaxLineIsExact(t *testing.T) {
	for _, item := range []Item{{"Claude Code-credentials", "me"}, {"Claude Code-credentials-0123abcd", `we"ird\name`}} {
		c := newScene(t)
		c.item = item
		s := c.open()
		c.set("old")
		for _, n := range []int{item.MaxLine(), item.MaxLine() + 2} {
			data := strings.Repeat("d", n)
			if err := s.tool.write(t.Context(), item, []byte(data)); err != nil {
				t.Fatal(err)
			}
			if fits := c.get() == data; fits != (n == item.MaxLine()) {
				t.Errorf("%v: %d bytes, whole: %v", item, n, fits)
			}
		}
		if n := item.MaxLine(); n < 1950 || n > 2020 {
			t.Errorf("the limit is %d bytes", n)
		}
	}
}

// Above the gate nothing is prepared, and so nothing is spent; both remedies are
// named. With AllowArgv it is written as an argument.
func TestGate(t *testing.T) { // INTEROP §7
	c := newScene(t)
	room := c.item.MaxLine() - spare
	for _, size := range []int{room, room + 1, 60_000} {
		old := `{"pad":"` + strings.Repeat("p", size-10) + `"}`
		c.set(old)
		for _, argv := range []bool{false, true} {
			s := c.open(func(o *Options) { o.AllowArgv = argv })
			h := c.lock(s)
			before := len(c.Calls())
			if told := len(c.load(s).Notes()) > 0; told != (size > room && !argv) {
				t.Errorf("%d bytes, argv %v: told %v", size, argv, told)
			}
			err := h.Prepare(t.Context(), c.load(s))
			if size > room && !argv {
				wants(t, "above", err, evercred.ErrUnsafe, evercred.ReasonKeychainSize)
				for _, remedy := range []string{"--refresh owner", "--allow-argv"} {
					if !strings.Contains(fmt.Sprint(err), remedy) {
						t.Errorf("%v does not name %s", err, remedy)
					}
				}
				if n := len(c.Calls()) - before; n > 2 {
					t.Errorf("%d calls for a login that is too large", n)
				}
			} else if err != nil {
				t.Errorf("%d bytes, argv %v: %v", size, argv, err)
			} else {
				data := strings.Replace(old, "p", "q", 1)
				if _, err := s.Save(t.Context(), c.load(s), []byte(data)); err != nil || c.get() != data {
					t.Errorf("%d bytes, argv %v: %v", size, argv, err)
				}
				c.set(old)
			}
			h.Unlock()
		}
	}
	for _, call := range c.Calls() {
		text := strings.Join(call.Args, " ")
		if strings.Contains(text, "-X") && len(text) < 2*room {
			t.Errorf("an argument shows what would have fitted the input: %.80s", text)
		}
	}
	c.set(strings.Repeat("x", maxArgv/2))
	s := c.open(func(o *Options) { o.AllowArgv = true })
	wants(t, "above all", c.lock(s).Prepare(t.Context(), c.load(s)), evercred.ErrUnsafe, evercred.ReasonKeychainSize)
}

// A save whose successor turns out too large after all is refused whole.
func TestSaveIsNeverCut(t *testing.T) {
	c := newScene(t)
	c.set("{}")
	s := c.open()
	c.lock(s)
	_, err := s.Save(t.Context(), c.load(s), bytes.Repeat([]byte("x"), c.item.MaxLine()+1))
	wants(t, "too large", err, evercred.ErrUnsafe, evercred.ReasonKeychainSize)
	if c.get() != "{}" {
		t.Error("it was written")
	}
}

// No failure of a write is reported by the program; reading back tells.
func TestSaveReadsBack(t *testing.T) {
	c := newScene(t)
	c.brief()
	c.set("{}")
	s := c.open()
	c.lock(s)
	for what, b := range map[string]credtest.SecurityBehaviour{
		"lost": {LoseAdds: true}, "a prompt": {HangAdd: true},
	} {
		old := c.load(s)
		c.Behave(b)
		_, err := s.Save(t.Context(), old, []byte(`{"new":1}`))
		wants(t, what, err, evercred.ErrUnsafe, evercred.ReasonCannotSave)
		c.Behave(credtest.SecurityBehaviour{})
		if c.get() != "{}" {
			t.Errorf("%s: it was written", what)
		}
	}
	if _, err := s.Save(t.Context(), c.load(s), []byte(`{"new":1}`)); err != nil || c.get() != `{"new":1}` {
		t.Errorf("afterwards: %v", err)
	}
	unlocked := c.open()
	_, err := unlocked.Save(t.Context(), c.load(unlocked), []byte("{}"))
	wants(t, "without the lock", err, evercred.ErrUnsafe, evercred.ReasonBug)
}

// Names that would end the line are never written.
func TestNamesWithALineBreak(t *testing.T) {
	c := newScene(t)
	c.item.Account = "me\" -s x\nadd-generic-password -a y"
	s := c.open()
	c.set("{}")
	wants(t, "a line break", c.lock(s).Prepare(t.Context(), c.load(s)), evercred.ErrUnsafe, evercred.ReasonCannotSave)
}

// The key of the escrow is made before anything is spent, once, and read back;
// what stands in its place is never replaced.
func TestPrepareMakesTheKey(t *testing.T) {
	c := newScene(t)
	c.brief()
	c.set("{}")
	s := c.open()
	key := s.keyItem()
	if _, err := s.escrow(); !errors.Is(err, ledger.ErrNoKey) {
		t.Errorf("before: %v", err)
	}
	h := c.lock(s)
	for what, b := range map[string]credtest.SecurityBehaviour{
		"locked": {Locked: true, OnlyService: key.Service}, "lost": {LoseAdds: true, OnlyService: key.Service},
		"a prompt": {HangAdd: true, OnlyService: key.Service}, "unknown": {FindExit: 9, OnlyService: key.Service},
	} {
		c.Behave(b)
		if err := h.Prepare(t.Context(), c.load(s)); !errors.Is(err, evercred.ErrUnsafe) || errors.Is(err, evercred.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
		c.Behave(credtest.SecurityBehaviour{})
		if c.Get(key.Service, key.Account) != nil {
			t.Fatalf("%s: a key was made", what)
		}
	}
	if err := h.Prepare(t.Context(), c.load(s)); err != nil {
		t.Fatal(err)
	}
	made := c.Get(key.Service, key.Account)
	first, err := s.escrow()
	if err != nil || len(first) != ledger.KeySize || len(made) == 0 {
		t.Fatalf("%d %q %v", len(first), made, err)
	}
	h.Unlock()
	other := c.open()
	if err := c.lock(other).Prepare(t.Context(), c.load(other)); err != nil || !bytes.Equal(c.Get(key.Service, key.Account), made) {
		t.Errorf("the key was made anew: %v", err)
	}
	if again, err := other.escrow(); err != nil || !bytes.Equal(first, again) {
		t.Errorf("another process reads another key: %v", err)
	}
	for _, call := range c.Calls() {
		if strings.Contains(strings.Join(call.Args, " "), string(made)) || len(call.Args) > 6 {
			t.Error("the key was shown")
		}
	}
	c.Set(key.Service, key.Account, []byte("somebody else's"))
	third := c.open()
	l, err := third.TryLock(t.Context())
	if !errors.Is(err, evercred.ErrLocked) || l != nil {
		t.Fatalf("%v %v", l, err)
	}
	if _, err := third.escrow(); !errors.Is(err, ledger.ErrNoKey) {
		t.Errorf("nonsense for a key: %v", err)
	}
	if err := third.makeKey(t.Context()); !errors.Is(err, evercred.ErrUnsafe) || string(c.Get(key.Service, key.Account)) != "somebody else's" {
		t.Errorf("nonsense for a key: %v, %q", err, c.Get(key.Service, key.Account))
	}
}

// A probe is a process: one in 30 s, unless one of ours noted something.
func TestProbeIsRare(t *testing.T) { // INTEROP §7
	c := newScene(t)
	c.times.KeychainProbe = time.Hour
	c.set(`{"n":1}`)
	s := c.open()
	last := c.load(s)
	calls := len(c.Calls())
	ask := func(what string, want bool, more int) {
		t.Helper()
		changed, err := s.Probe(t.Context(), last)
		if n := len(c.Calls()) - calls; changed != want || err != nil || n != more {
			t.Errorf("%s: %v %v, %d calls", what, changed, err, n)
		}
		calls = len(c.Calls())
	}
	for range 5 {
		ask("at once", false, 0)
	}
	c.set(`{"n":2}`)
	ask("changed by its owner", false, 0) // by a look that is not due
	s.last.at = s.last.at.Add(-time.Hour)
	ask("later", true, 1)
	ask("at once again", true, 0) // last is still the old one
	last = c.load(s)
	calls++
	ask("loaded", false, 0)
	h := c.lock(s)
	if err := h.guard.SetMemory(ledger.Memory{Spent: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	c.set(`{"n":3}`)
	ask("noted by one of ours", true, 1)
	ask("and once", true, 0)
	s.last.at = time.Now().Add(time.Hour) // the clock jumped back
	ask("by another clock", true, 1)
	last = evercred.Document{}
	if changed, err := s.Probe(t.Context(), last); !changed || err != nil {
		t.Errorf("of nothing: %v %v", changed, err)
	}
}

// Many at once cause one look, and a failure waits for the next time, too.
func TestProbeLooksOnceAtATime(t *testing.T) {
	c := newScene(t)
	c.times.KeychainProbe = time.Hour
	c.set("{}")
	s := c.open()
	last := c.load(s)
	calls := len(c.Calls())
	s.last.at = s.last.at.Add(-time.Hour)
	c.Behave(credtest.SecurityBehaviour{Locked: true})
	done := make(chan error)
	for range 8 {
		go func() { _, err := s.Probe(context.Background(), last); done <- err }()
	}
	failed := 0
	for range 8 {
		if err := <-done; err != nil {
			wants(t, "locked", err, evercred.ErrUnsafe, evercred.ReasonKeychainLocked)
			failed++
		}
	}
	if n := len(c.Calls()) - calls; n != 1 || failed != 8 {
		t.Errorf("%d calls, %d failures", n, failed)
	}
	c.Behave(credtest.SecurityBehaviour{})
	c.set(`{"n":1}`)
	if changed, err := s.Probe(t.Context(), last); changed || err == nil {
		t.Errorf("at once after a failure: %v %v", changed, err)
	}
	s.last.at = s.last.at.Add(-time.Hour)
	if changed, err := s.Probe(t.Context(), last); !changed || err != nil {
		t.Errorf("later: %v %v", changed, err)
	}
}

// The program sees nothing of our environment but what Env says, and argv never
// holds a document that fits the input.
func TestWhatTheProgramSees(t *testing.T) { // FAILURES S6
	t.Setenv("ANTHROPIC_AUTH_TOKEN", "sk-ant-oat01-ours")
	c := newScene(t)
	c.set(`{"a":"sk-ant-ort01-old"}`)
	s := c.open(func(o *Options) { o.Env = []string{"HOME=/nowhere"} })
	h := c.lock(s)
	old := c.load(s)
	if err := h.Prepare(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), old, []byte(`{"a":"sk-ant-ort01-new"}`)); err != nil {
		t.Fatal(err)
	}
	for _, call := range c.Calls() {
		all := fmt.Sprint(call.Args, call.Env)
		if strings.Contains(all, "sk-ant") || strings.Contains(all, fmt.Sprintf("%x", "sk-ant")) {
			t.Errorf("seen: %s", all)
		}
		if !strings.Contains(all, "HOME=/nowhere") {
			t.Errorf("not seen: %s", all)
		}
	}
}

// Looking creates nothing (DESIGN §6).
func TestLoadCreatesNothing(t *testing.T) {
	c := newScene(t)
	c.set("{}")
	s := c.open()
	c.load(s)
	s.Probe(t.Context(), evercred.Document{})
	if _, err := s.Ledger().Pending(); err != nil {
		t.Error(err)
	}
	filepath.WalkDir(c.dir, func(path string, _ fs.DirEntry, _ error) error {
		if path != c.dir {
			t.Errorf("%s was made", path)
		}
		return nil
	})
}

// Two items in one directory have two ledgers; one directory by two paths has one.
func TestLedgers(t *testing.T) { // FAILURES F12
	c := newScene(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(c.dir, link); err != nil {
		t.Fatal(err)
	}
	a := New(c.item, c.dir, nil).Ledger().Path()
	if b := New(c.item, link, nil).Ledger().Path(); a != b {
		t.Errorf("%s and %s", a, b)
	}
	if b := New(Item{c.item.Service + "-0123abcd", c.item.Account}, c.dir, nil).Ledger().Path(); a == b {
		t.Errorf("two items in %s", a)
	}
	if !strings.HasPrefix(filepath.Base(a), "keychain-") || strings.Contains(a, c.item.Account+"/") {
		t.Error(a)
	}
}
