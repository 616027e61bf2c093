package clock

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/claudecode"
)

// locks: no age of a lock is judged across a jump or a sleep.
func locks() []timed {
	list := []timed{
		{"a foreign lock", "dead for a minute and a half", expired, func(b *bench) {
			b.plant(90 * time.Second)
			began := time.Now()
			b.renewed(b.source())
			if took := time.Since(began); took < 12*time.Second || took > 20*time.Second {
				b.fail("taken over after %v", took)
			}
			b.requests(1)
		}},
		{"a foreign lock", "its time lies in the future", expired, func(b *bench) {
			b.plant(-400 * day)
			b.refused(b.source(), evercred.ErrLocked)
			b.requests(0)
			s := b.source()
			b.refused(s, evercred.ErrLocked)
			b.renewed(s) // it has stood still for a minute under the eyes of three processes
			b.requests(1)
		}},
	}
	for _, alive := range []bool{true, false} {
		for _, c := range []struct {
			name   string
			happen func(*bench)
		}{
			{"the clock jumps a day ahead", func(b *bench) { b.clock.jump(day) }},
			{"the clock jumps a day back", func(b *bench) { b.clock.jump(-day) }},
			{"the machine sleeps for an hour", func(b *bench) { b.clock.sleep(time.Hour) }},
		} {
			name := "fresh, its holder is dead; " + c.name
			if alive {
				name = "its holder lives; " + c.name
			}
			list = append(list, timed{"a foreign lock", name, expired, func(b *bench) {
				b.set("0") // by any clock the token has ended
				refresh, _ := b.plant(0)
				planted := b.clock.Now()
				time.AfterFunc(4*time.Second, func() { c.happen(b) })
				if alive {
					stop, done := make(chan struct{}), make(chan struct{})
					go func() {
						defer close(done)
						for {
							select {
							case <-stop:
								return
							case <-time.After(5 * time.Second):
								b.touch(refresh, b.clock.Now())
							}
						}
					}()
					defer func() { close(stop); <-done; os.Remove(refresh) }()
					b.refused(b.source(), evercred.ErrLocked)
					if _, err := os.Lstat(refresh); err != nil {
						b.fail("the lock of a living holder: %v", err)
					}
					b.requests(0)
					return
				}
				s, began := b.source(), time.Now()
				for range 6 {
					if t, err := s.Token(b.t.Context()); err == nil {
						if took := time.Since(began); took < 16*time.Second {
							b.fail("%s taken over %v after the jump: %v old, %s", refresh, took-4*time.Second, b.clock.Now().Sub(planted), t.Fingerprint())
						}
						return
					}
				}
				b.fail("never taken over")
			}})
		}
	}
	for _, d := range []time.Duration{day, -day} {
		list = append(list, timed{"our own lock", fmt.Sprint("the clock jumps by ", d, " while we hold it"), expired, func(b *bench) {
			b.set("0")
			b.connecting = func() {
				b.clock.jump(d)
				time.Sleep(4 * time.Second) // two beats
			}
			b.renewed(b.source())
			b.requests(1)
		}})
	}
	return list
}

// plant makes the owner's first lock as another program does.
func (b *bench) plant(age time.Duration) (first, second string) {
	refresh, _ := claudecode.LockPaths(b.dir)
	if err := os.Mkdir(refresh[0], 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.touch(refresh[0], b.clock.Now().Add(-age))
	return refresh[0], filepath.Base(refresh[1])
}

func (b *bench) touch(path string, at time.Time) {
	at = at.Truncate(time.Millisecond)
	if err := os.Chtimes(path, at, at); err != nil {
		b.fail("%v", err)
	}
}
