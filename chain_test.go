package evercred_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evercred/evercred"
)

// scripted is a Provider and Rejecter that does what a test says.
type scripted struct {
	token func(context.Context) (evercred.Token, error)

	mu       sync.Mutex
	calls    int
	rejected []evercred.Token
}

func (s *scripted) Token(ctx context.Context) (evercred.Token, error) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	return s.token(ctx)
}

func (s *scripted) Reject(t evercred.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected = append(s.rejected, t)
}

func (s *scripted) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// refusals are the secrets that it was told of.
func (s *scripted) refusals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, t := range s.rejected {
		all = append(all, t.Reveal())
	}
	return all
}

// giving hands out the tokens in turn, the last one for ever.
func giving(tokens ...evercred.Token) *scripted {
	var mu sync.Mutex
	return &scripted{token: func(context.Context) (evercred.Token, error) {
		mu.Lock()
		defer mu.Unlock()
		t := tokens[0]
		if len(tokens) > 1 {
			tokens = tokens[1:]
		}
		return t, nil
	}}
}

func failing(err error) *scripted {
	return &scripted{token: func(context.Context) (evercred.Token, error) { return evercred.Token{}, err }}
}

func absent(where string) *scripted {
	return failing(&evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "nobody is logged in", Where: where})
}

func TestChain(t *testing.T) {
	a := mustToken(t, "sk-test-a", nil)
	b := mustToken(t, "sk-test-b", nil)
	broken := &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonUnreadable, What: "unreadable"}
	tests := []struct {
		name      string
		providers []evercred.Provider
		want      evercred.Token
		err       error
		calls     []int
	}{
		{"the first that has one", []evercred.Provider{absent("1"), giving(a), giving(b)}, a, nil, []int{1, 1, 0}},
		{"a failure stops", []evercred.Provider{absent("1"), failing(broken), giving(b)}, evercred.Token{}, evercred.ErrUnsafe, []int{1, 1, 0}},
		{"a dead login stops", []evercred.Provider{failing(evercred.ErrLoginRequired), giving(b)}, evercred.Token{}, evercred.ErrLoginRequired, []int{1, 0}},
		{"an end of the context stops", []evercred.Provider{failing(context.Canceled), giving(b)}, evercred.Token{}, context.Canceled, []int{1, 0}},
		{"all absent", []evercred.Provider{absent("1"), absent("2")}, evercred.Token{}, evercred.ErrNotFound, []int{1, 1}},
		{"nobody to ask", nil, evercred.Token{}, evercred.ErrNotFound, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := evercred.Chain(tt.providers...).Token(t.Context())
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%v, %v", got, err)
			}
			for i, p := range tt.providers {
				if n := p.(*scripted).called(); n != tt.calls[i] {
					t.Errorf("provider %d was asked %d times, want %d", i, n, tt.calls[i])
				}
			}
		})
	}
}

func TestChainNamesWhatWasTried(t *testing.T) {
	cause := &evercred.Error{Kind: evercred.ErrNotFound, What: "no file", Where: "/home/x/.config/anthropic", Err: fs.ErrNotExist}
	_, err := evercred.Chain(absent("/home/x/.claude"), failing(cause)).Token(t.Context())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause is not in %v", err)
	}
	for _, place := range []string{"/home/x/.claude", "/home/x/.config/anthropic"} {
		if !strings.Contains(err.Error(), place) {
			t.Errorf("%q is not in %q", place, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

// The first provider is asked anew each time: who logs in is served.
func TestChainAsksTheFirstFirst(t *testing.T) {
	a, b := mustToken(t, "sk-test-a", nil), mustToken(t, "sk-test-b", nil)
	loggedIn := false
	first := &scripted{token: func(context.Context) (evercred.Token, error) {
		if loggedIn {
			return a, nil
		}
		return evercred.Token{}, evercred.ErrNotFound
	}}
	c := evercred.Chain(first, giving(b))
	if got, _ := c.Token(t.Context()); got != b {
		t.Error("the second did not serve")
	}
	loggedIn = true
	if got, _ := c.Token(t.Context()); got != a {
		t.Error("the first did not serve")
	}
}

func TestChainRejectsWithTheGiver(t *testing.T) {
	a, b := mustToken(t, "sk-test-a", nil), mustToken(t, "sk-test-b", nil)
	again := mustToken(t, "sk-test-b", nil) // the same secret, another Token
	first, second, third := absent("1"), giving(b), giving(a)
	c := evercred.Chain(evercred.Static(evercred.Token{}), first, second, third)
	if _, err := c.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.(evercred.Rejecter).Reject(again)
	for i, s := range []*scripted{first, second, third} {
		want := [][]string{nil, {"sk-test-b"}, nil}[i]
		if got := s.refusals(); !slices.Equal(got, want) {
			t.Errorf("provider %d was told of %q, want %q", i, got, want)
		}
	}
	// A token that is no longer known to come from anybody: all are asked.
	c.(evercred.Rejecter).Reject(a)
	if len(first.refusals()) != 1 || len(second.refusals()) != 2 || len(third.refusals()) != 1 {
		t.Errorf("told %q, %q, %q", first.refusals(), second.refusals(), third.refusals())
	}
}

// A token of one who cannot be told is nobody else's business.
func TestChainRejectOfAStaticToken(t *testing.T) {
	a := mustToken(t, "sk-test-a", nil)
	second := giving(mustToken(t, "sk-test-b", nil))
	c := evercred.Chain(evercred.Static(a), second)
	if _, err := c.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.(evercred.Rejecter).Reject(a)
	if got := second.refusals(); got != nil {
		t.Errorf("told of %q", got)
	}
}

func TestChainAllocatesNothing(t *testing.T) {
	c := evercred.Chain(evercred.Static(mustToken(t, "sk-test-a", nil)))
	if n := testing.AllocsPerRun(100, func() { c.Token(t.Context()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
