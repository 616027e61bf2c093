package evercred_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
)

func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := mustToken(t, "sk-ant-api03-test", &evercred.TokenOptions{Kind: evercred.APIKey, Expires: time.Now().Add(time.Minute)})
		p := evercred.Static(want)
		if got, err := p.Token(t.Context()); err != nil || got != want {
			t.Fatalf("%v, %v", got, err)
		}
		time.Sleep(time.Minute - 1)
		if _, err := p.Token(t.Context()); err != nil {
			t.Errorf("an instant before its end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if got, err := p.Token(t.Context()); !errors.Is(err, evercred.ErrLoginRequired) || !got.IsZero() {
			t.Errorf("at its end: %v, %v", got, err)
		}
	})
}

func TestStaticWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := evercred.Static(mustToken(t, "sk-ant-api03-test", nil))
		time.Sleep(100 * 365 * 24 * time.Hour)
		if _, err := p.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestStaticOfNothingIsNotHere(t *testing.T) {
	if got, err := evercred.Static(evercred.Token{}).Token(t.Context()); !errors.Is(err, evercred.ErrNotFound) || !got.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
}
