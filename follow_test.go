package evercred_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

// Follow sees what others write, soon and once each, and grants nothing.
func TestFollow(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		fresh := w.store.Bytes()
		blanked := []byte(`{"mcpOAuth":{"x":1.50},"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`)
		go func() {
			for _, doc := range [][]byte{nil, fresh, blanked, w.login("a2", "r2", time.Hour)} {
				time.Sleep(10 * time.Second)
				w.store.Set(doc)
			}
		}()
		var seen []evercred.State
		began := time.Now()
		err := w.source().Follow(context.Background(), func(st evercred.Status) bool {
			seen = append(seen, st.State)
			// A second is the longest pause, by Options.Probe.
			if late := time.Since(began) - time.Duration(len(seen)-1)*10*time.Second; late < 0 || late > time.Second {
				t.Errorf("%s was seen %v late", st.State, late)
			}
			return len(seen) == 5
		})
		want := []evercred.State{evercred.StateFresh, evercred.StateLoggedOut, evercred.StateFresh, evercred.StateBlanked, evercred.StateFresh}
		if err != nil || !slices.Equal(seen, want) {
			t.Errorf("%v, saw %q", err, seen)
		}
		w.sends(0)
	})
}

// A store at rest is read once, however long it is followed; one without a
// document is asked for it at most every 100 ms, and every second in the end.
func TestFollowAsksSeldom(t *testing.T) {
	for name, c := range map[string]struct{ absent, unreadable bool }{"present": {}, "absent": {absent: true}, "unreadable": {unreadable: true}} {
		inWorld(t, time.Hour, func(w *world) {
			loads := 0
			w.store.FailLoad(func() error {
				loads++
				if c.unreadable {
					return errors.New("permission denied")
				}
				return nil
			})
			if c.absent {
				w.store.Set(nil)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			looks := 0
			err := w.source().Follow(ctx, func(evercred.Status) bool { looks++; return false })
			if !errors.Is(err, context.DeadlineExceeded) || looks != 1 {
				t.Errorf("%s: %v after %d looks", name, err, looks)
			}
			// 10 pauses of 100 ms, some 24 that grow to a second, and 50 seconds.
			if c == (struct{ absent, unreadable bool }{}) && loads != 1 || loads > 90 {
				t.Errorf("%s: read %d times", name, loads)
			}
			w.sends(0)
		})
	}
}

func TestFollowEndsWithTheSource(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		s := w.source()
		time.AfterFunc(time.Second, func() { s.Close() })
		never := func(evercred.Status) bool { return false }
		if err := s.Follow(context.Background(), never); !errors.Is(err, evercred.ErrClosed) {
			t.Error(err)
		}
		if err := s.Follow(context.Background(), never); !errors.Is(err, evercred.ErrClosed) {
			t.Error(err)
		}
	})
}
