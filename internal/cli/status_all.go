package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/sources"
)

// allJSON is `status --all --json`. Its shape is held by a test.
type allJSON struct {
	Version int      `json:"version"`
	Sources []aPlace `json:"sources"`
}

// aPlace is where a credential may be.
type aPlace struct {
	Name     string `json:"name"`
	Place    string `json:"place"`
	ChosenBy string `json:"chosenBy"`
	Present  bool   `json:"present"`
	// Auto: it is the one that --source auto uses.
	Auto      bool       `json:"auto"`
	State     string     `json:"state"`
	Usable    bool       `json:"usable"`
	Renewable bool       `json:"renewable"`
	Access    string     `json:"access,omitempty"` // fingerprint
	ExpiresAt time.Time  `json:"expiresAt,omitzero"`
	Notes     []string   `json:"notes"`
	Error     *errorJSON `json:"error,omitempty"`
}

// The states of a place without a credential to tell of.
const (
	stateAbsent = "absent"
	stateBroken = "broken"
	stateNotRun = "not run"
)

func runStatusAll(a *app, o statusOptions) error {
	l, err := a.login()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.common.timeout)
	defer cancel()
	j := allJSON{Version: jsonVersion, Sources: []aPlace{}}
	used, good := false, false
	for f := range sources.Discover(&l.options) {
		p := look(ctx, f, l.options)
		p.Auto = f.Present && f.Note == "" && !used
		used, good = used || p.Auto, good || p.Usable || p.Renewable
		j.Sources = append(j.Sources, p)
	}
	if o.json {
		err = a.printJSON(j)
	} else {
		err = a.print(a.allText(j))
	}
	if err == nil && !good {
		err = exitStatus(exitNotFound)
	}
	return err
}

// look asks the source of a place for its state.
func look(ctx context.Context, f sources.Found, opts sources.Options) aPlace {
	p := aPlace{Name: f.Name, Place: f.Place, ChosenBy: orDefault(f.Why), Present: f.Present, Notes: list(f.Warnings)}
	switch {
	case !f.Present:
		p.State = stateAbsent
		return p
	case f.Err != nil:
		p.State, p.Error = stateBroken, toJSON(f.Err)
		return p
	case f.Note != "":
		p.State, p.Notes = stateNotRun, append(p.Notes, f.Note)
		return p
	}
	st, err := statusOfSource(ctx, f.Name, opts)
	if err != nil {
		p.State, p.Error = stateBroken, toJSON(err)
		return p
	}
	p.State, p.Usable, p.Renewable, p.Access, p.ExpiresAt = string(st.State), st.Usable, st.Renewable, st.Access, exact(st.Expires)
	p.Notes, p.Error = append(p.Notes, st.Notes...), toJSON(st.Err)
	if st.Place != "" {
		p.Place = st.Place
	}
	return p
}

func statusOfSource(ctx context.Context, name string, opts sources.Options) (evercred.Status, error) {
	src, err := sources.Open(name, &opts)
	if err != nil {
		return evercred.Status{}, err
	}
	defer src.Close()
	return src.Status(ctx)
}

// allText is the list for people. A star marks what --source auto uses.
func (a *app) allText(j allJSON) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	var notes []string
	for _, p := range j.Sources {
		mark := " "
		if p.Auto {
			mark = "*"
		}
		ends := ""
		if !p.ExpiresAt.IsZero() {
			ends = "ends " + a.moment(p.ExpiresAt)
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\n", mark, p.Name, p.State, printable(p.Place), ends)
		if p.Error != nil && p.Present {
			notes = append(notes, p.Name+": "+printable(p.Error.Message))
		}
		for _, n := range p.Notes {
			notes = append(notes, p.Name+": "+printable(n))
		}
	}
	w.Flush()
	for _, n := range notes {
		b.WriteString(n + "\n")
	}
	b.WriteString("* is what --source auto uses\n")
	return b.String()
}
