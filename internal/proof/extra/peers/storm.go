package peers

import (
	"fmt"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Killed is what became of the logins whose client was killed at one moment.
type Killed struct {
	Peer    string `json:"peer"`
	Profile string `json:"profile"`
	Signal  string `json:"signal"`
	Moment  string `json:"moment"`
	Kills   int    `json:"kills"`
	Late    int    `json:"late"` // the client had ended already
	Lost    int    `json:"lost"`
}

// atOnce is how many kills go on side by side: most of one is waiting.
const atOnce = 3

// storm kills clients of one peer at every moment, by every signal.
func (n *loopback) storm(r *suite.Run, p *peer, profile issuer.Profile, lead time.Duration) ([]Killed, error) {
	var all []Killed
	var mu sync.Mutex // of all and failure
	var failure error
	var work sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for _, s := range signals {
		for _, m := range moments {
			cell := len(all)
			mu.Lock()
			all = append(all, Killed{Peer: p.label(), Profile: name(profile), Signal: s.name, Moment: m})
			mu.Unlock()
			for i := range times(r) {
				v := victim{fmt.Sprintf("kill/%s/%s/%s/%s/%d", p.name, name(profile), s.name, m, i), profile, s.sig, m, lead}
				if !r.Wanted(v.name) || r.Context().Err() != nil {
					continue
				}
				room <- struct{}{}
				work.Go(func() {
					defer func() { <-room }()
					end, err := n.kill(r, p, v)
					for ; err == nil && end.missed && v.lead > 0; v.lead /= 2 {
						end, err = n.kill(r, p, v)
					}
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failure = fmt.Errorf("%s: %w", v.name, err)
					} else {
						all[cell].add(end)
					}
				})
			}
		}
	}
	work.Wait()
	if failure == nil {
		failure = r.Context().Err()
	}
	return all, failure
}

func (k *Killed) add(e ending) {
	if e.missed {
		return
	}
	k.Kills++
	if e.late {
		k.Late++
	}
	if e.lost {
		k.Lost++
	}
}

// times is how often each moment is tried: a kill is two processes, and some
// need half a second to load.
func times(r *suite.Run) int {
	if r.Size == suite.CI {
		return 1
	}
	return r.N
}

// lead is how long a client needs from its start to its request, at least.
func (n *loopback) lead(r *suite.Run, p *peer) (time.Duration, error) {
	least := time.Hour
	for range 3 {
		l, err := n.lay(r, p, behaviour(issuer.Strict()), nil)
		if err != nil {
			return 0, err
		}
		d, err := n.once(r, p, l)
		l.close()
		if err != nil {
			return 0, err
		}
		least = min(least, d)
	}
	return least, nil
}

func (n *loopback) once(r *suite.Run, p *peer, l *login) (time.Duration, error) {
	g, err := n.gather(r, p, l, 1)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if failed := g.race(r.Context()); failed > 0 || l.endpoint.Grants() != 1 {
		return 0, fmt.Errorf("%s does not renew an expired login: %s", p.name, g.messages())
	}
	return l.endpoint.Audit()[0].At.Sub(began), nil
}
