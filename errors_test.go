package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

var sentinels = []error{
	evercred.ErrNotFound, evercred.ErrLoginRequired, evercred.ErrUnavailable, evercred.ErrLocked,
	evercred.ErrUnsafe, evercred.ErrConflict, evercred.ErrClosed, evercred.ErrConfig,
}

func TestErrorIsItsKindAndItsCause(t *testing.T) {
	for _, kind := range sentinels {
		err := fmt.Errorf("outside: %w", &evercred.Error{Kind: kind, Reason: evercred.ReasonTimeout, What: "it failed", Err: context.DeadlineExceeded})
		for _, other := range append(sentinels, context.DeadlineExceeded, fs.ErrNotExist) {
			want := other == kind || other == context.DeadlineExceeded
			if got := errors.Is(err, other); got != want {
				t.Errorf("an error of kind %q is %q: %v", kind, other, got)
			}
		}
		var e *evercred.Error
		if !errors.As(err, &e) || e.Reason != evercred.ReasonTimeout {
			t.Errorf("the reason of %q is not found", kind)
		}
	}
}

func TestErrorIsOneLine(t *testing.T) {
	err := &evercred.Error{Kind: evercred.ErrUnsafe, What: "it failed", Where: "here", Err: errors.Join(errors.New("one"), errors.New("two"))}
	if got := err.Error(); got != "it failed, here: one; two" {
		t.Errorf("%q", got)
	}
}

func TestErrorGivesTheEndpointsWord(t *testing.T) {
	said := &evercred.RefreshError{Status: 400, Code: "invalid_grant", Host: "platform.claude.com"}
	err := error(&evercred.Error{Kind: evercred.ErrLoginRequired, What: "the login is dead", Err: said})
	var got *evercred.RefreshError
	if !errors.As(err, &got) || got != said {
		t.Errorf("the RefreshError is not found in %v", err)
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("permission denied")
	tests := []struct {
		err  error
		want string
	}{
		{&evercred.Error{Kind: evercred.ErrUnsafe, What: "cannot read", Where: "/x", Err: cause}, "cannot read, /x: permission denied"},
		{&evercred.Error{Kind: evercred.ErrUnsafe, What: "cannot read", Where: "/x"}, "cannot read, /x"},
		{&evercred.Error{Kind: evercred.ErrUnsafe, What: "cannot read", Err: cause}, "cannot read: permission denied"},
		{&evercred.Error{Kind: evercred.ErrLocked}, evercred.ErrLocked.Error()},
		{&evercred.Error{Kind: evercred.ErrLocked, Where: "/x"}, evercred.ErrLocked.Error() + ", /x"},
		{&evercred.Error{}, ""},
		{&evercred.RefreshError{Status: 429}, "the token endpoint answered 429"},
		{&evercred.RefreshError{Status: 400, Code: "invalid_grant", Description: "expired"}, "the token endpoint answered 400 invalid_grant (expired)"},
		{&evercred.RefreshError{RetryAfter: time.Now()}, "no usable answer from the token endpoint"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestZeroErrorIsNothing(t *testing.T) {
	for _, s := range sentinels {
		if errors.Is(&evercred.Error{}, s) {
			t.Errorf("the zero Error is %q", s)
		}
	}
}

// R9b: whoever asks for "temporary" need not know of "not sent".
func TestNotSentIsUnavailable(t *testing.T) {
	if !errors.Is(evercred.ErrNotSent, evercred.ErrUnavailable) || errors.Is(evercred.ErrUnavailable, evercred.ErrNotSent) {
		t.Error("ErrNotSent is a special ErrUnavailable, and not the reverse")
	}
}
