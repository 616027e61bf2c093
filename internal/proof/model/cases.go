package model

import (
	"strings"

	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Case is a world to be explored: how it begins, and how much may go wrong.
type Case struct {
	Name     string
	profile  profile
	endpoint weather
	clients  int
	begins   uint8 // age of the stored access token
	budget
	// fine: a look without the lock reads the document and the ledger one after
	// the other. Else the two are one step, which the largest cases need.
	fine bool
	// records is how many attempts may be open; calm, how many requests of ours
	// may leave while no time passes (0: as many as allowed explains).
	records int
	calm    uint8
}

// world is the first state.
func (c *Case) world() world {
	w := world{left: c.budget, last: 1, login: 1}
	for i := range w.clients {
		w.clients[i] = none // not one of them: it stays behind
		if i < c.clients {
			w.clients[i] = 0
		}
	}
	w.doc = view{kind: 1, acc: 1, ref: 1, login: 1}
	w.age[1] = c.begins
	w.ep[1] = issued{login: 1}
	w.oracle.newest = 1
	return w
}

// faults names what went wrong on the way to a world, for the table.
func (c *Case) faults(w *world) string {
	b, l := &c.budget, &w.left
	var all []string
	add := func(what string, some bool) {
		if some {
			all = append(all, what)
		}
	}
	add("killed", b.kills != l.kills)
	add("a message lost", b.losses != l.losses)
	add("its window over", (c.profile == idempotent || c.profile == sibling) && b.longs != l.longs)
	add("a lock stolen", b.thefts != l.thefts)
	add("the disk full", b.saveFails != l.saveFails)
	add("an older copy back", b.backups != l.backups)
	add("logged out or in", b.logouts != l.logouts || b.logins != l.logins)
	add("outage", c.endpoint != well)
	switch len(all) {
	case 0:
		return profiles[c.profile] + ": no fault"
	case 1, 2:
		return profiles[c.profile] + ": " + strings.Join(all, ", ")
	}
	return profiles[c.profile] + ": three faults or more"
}

// cases are what a size explores. The first four are the transaction under
// kills, a lost message and stolen locks; the others are each about one thing
// more, with two clients.
func cases(size string) []Case {
	base := Case{clients: 2, begins: ageEnded, records: decide.MaxStanding + decide.MaxRepeats + 1, fine: true, budget: budget{starts: 2, kills: 1, losses: 1}}
	var all []Case
	add := func(name string, change func(*Case)) {
		c := base
		c.Name = name
		change(&c)
		all = append(all, c)
	}
	for p, name := range profiles {
		add(name+", messages", func(c *Case) {
			c.profile = profile(p)
			c.budget = budget{starts: 2, kills: 1, losses: 1, expiries: 1}
			switch size {
			case suite.CI, suite.InControl:
				c.budget = budget{starts: 2, kills: 1, losses: 1, expiries: 1, longs: 1}
			case suite.Full:
				c.budget = budget{starts: 4, kills: 2, losses: 1, expiries: 1, longs: 1}
			}
		})
		add(name+", stolen locks", func(c *Case) {
			c.profile = profile(p)
			c.budget = budget{starts: 2, thefts: 1, losses: 1}
			switch size {
			case suite.CI, suite.InControl:
				c.budget = budget{starts: 3, kills: 1, thefts: 1, losses: 1}
			case suite.Full:
				c.clients, c.fine = 3, false
				c.budget = budget{starts: 3, kills: 2, thefts: 2, losses: 1}
			}
		})
	}
	for _, w := range []struct {
		name string
		weather
	}{{"outage", down}, {"429", limiting}, {"captive portal", foreign}} {
		add(w.name, func(c *Case) {
			c.endpoint, c.budget, c.calm = w.weather, budget{starts: 3}, 1
			if w.weather == down {
				c.calm += decide.MaxRepeats
			}
		})
		add(w.name+", early", func(c *Case) {
			c.endpoint, c.begins, c.budget, c.calm = w.weather, ageEarly, budget{starts: 4, longs: 2}, 1
		})
	}
	add("long outage", func(c *Case) {
		c.clients, c.endpoint, c.begins, c.calm, c.records = 1, down, ageEarly, 1, decide.MaxStanding+1
		c.budget = budget{starts: 6, longs: 12}
	})
	add("the API refuses fresh tokens", func(c *Case) {
		c.clients, c.begins, c.budget, c.calm = 2, ageFresh, budget{starts: 6, rejects: 4}, 2
	})
	add("forced by two at once", func(c *Case) { c.begins, c.budget = ageFresh, budget{starts: 2, forces: 2, kills: 1} })
	add("early", func(c *Case) { c.begins, c.budget = ageEarly, budget{starts: 3, kills: 1, losses: 1} })
	add("told to end", func(c *Case) { c.budget = budget{starts: 3, stops: 1, losses: 1, kills: 1} })
	add("logout", func(c *Case) { c.budget = budget{starts: 3, kills: 1, losses: 1, logouts: 1, saveFails: 1} })
	add("login", func(c *Case) { c.budget = budget{starts: 2, kills: 1, losses: 1, logins: 1} })
	add("logout and login", func(c *Case) { c.budget = budget{starts: 3, kills: 1, logouts: 1, logins: 1} })
	add("an older copy", func(c *Case) { c.budget = budget{starts: 3, kills: 1, backups: 1, expiries: 1} })
	add("an older copy and a full disk", func(c *Case) { c.budget = budget{starts: 3, kills: 1, backups: 1, expiries: 1, saveFails: 1} })
	add("a full disk", func(c *Case) { c.budget = budget{starts: 3, kills: 1, losses: 1, saveFails: 2, expiries: 1} })
	add("the owner's program", func(c *Case) { c.budget = budget{starts: 3, kills: 1, aliens: 1, losses: 1} })
	add("the owner's program, with a window", func(c *Case) {
		c.profile = idempotent
		c.budget = budget{starts: 3, kills: 1, aliens: 1, losses: 1}
	})
	add("two dead senders", func(c *Case) {
		c.profile = idempotent
		c.budget = budget{starts: 4, kills: 2, expiries: 1, longs: 1}
	})
	add("late requests", func(c *Case) {
		c.profile = idempotent
		c.budget = budget{starts: 4, kills: 1, expiries: 1}
	})
	for i := range all {
		if c := &all[i]; size == suite.Smoke && c.calm == 0 {
			c.starts = min(c.starts, 2)
		}
	}
	return all
}
