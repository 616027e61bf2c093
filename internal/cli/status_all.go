package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/sources"
)

// allJSON is `status --all --json`. Its shape is held by a test.
type allJSON struct {
	Version int         `json:"version"`
	Sources []placeJSON `json:"sources"`
}

// placeJSON is where a credential may be.
type placeJSON struct {
	Name     string `json:"name"` // for --source
	Place    string `json:"place"`
	ChosenBy string `json:"chosenBy"` // a file, a variable or "default"
	Present  bool   `json:"present"`
	// Auto: --source auto uses it, or ends here with its error.
	Auto bool `json:"auto"`
	// State is that of `status`, or absent, broken or not-run.
	State     string     `json:"state"`
	Usable    bool       `json:"usable"`
	Renewable bool       `json:"renewable"`
	Access    string     `json:"access,omitempty"` // fingerprint
	ExpiresAt time.Time  `json:"expiresAt,omitzero"`
	Notes     []string   `json:"notes"`
	Error     *errorJSON `json:"error,omitempty"`

	hint string
}

// The states of a place without a credential to tell of.
const (
	stateAbsent = "absent"
	stateBroken = "broken"
	stateNotRun = "not-run"
)

func runStatusAll(a *app, o statusOptions) error {
	opts, err := a.options()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.common.timeout)
	defer cancel()
	j := allJSON{Version: jsonVersion, Sources: []placeJSON{}}
	found, good := false, false
	for f := range sources.Discover(opts) {
		p := a.look(ctx, f, *opts)
		p.Auto = f.Present && p.State != stateNotRun && !found
		found, good = found || p.Auto, good || p.Usable || p.Renewable
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
func (a *app) look(ctx context.Context, f sources.Found, opts sources.Options) placeJSON {
	p := placeJSON{Name: f.Name, Place: f.Place, ChosenBy: orDefault(f.Why), Present: f.Present, Notes: list(f.Warnings)}
	kind, which, _ := strings.Cut(f.Name, ":")
	if kind == sources.Profile {
		if others := slices.DeleteFunc(a.profiles(), func(name string) bool { return name == which }); len(others) > 0 {
			p.Notes = append(p.Notes, "other profiles: "+strings.Join(others, ", "))
		}
	}
	switch {
	case !f.Present:
		p.State = stateAbsent
		return p
	case f.Err != nil:
		a.broken(&p, f.Err)
		return p
	case f.Note != "":
		p.State, p.Notes = stateNotRun, append(p.Notes, f.Note)
		return p
	}
	st, err := statusOfSource(ctx, f.Name, opts)
	if err != nil {
		a.broken(&p, err)
		return p
	}
	p.State, p.Usable, p.Renewable, p.Access, p.ExpiresAt = string(st.State), st.Usable, st.Renewable, st.Access, exact(st.Expires)
	p.Notes = append(p.Notes, st.Notes...)
	if st.Place != "" {
		p.Place = st.Place
	}
	if st.Err != nil {
		a.trouble(&p, st.Err)
	}
	return p
}

// broken is a place that cannot be opened.
func (a *app) broken(p *placeJSON, err error) {
	p.State = stateBroken
	a.trouble(p, err)
}

func (a *app) trouble(p *placeJSON, err error) {
	a.source = p.Name
	p.Error, p.hint = toJSON(err), a.hint(err)
}

func statusOfSource(ctx context.Context, name string, opts sources.Options) (evercred.Status, error) {
	src, err := sources.Open(name, &opts)
	if err != nil {
		return evercred.Status{}, err
	}
	defer src.Close()
	return src.Status(ctx)
}

// allText is the list for people: a line for each source, and below it what
// there is to say, one thing a line, so that a narrow terminal breaks paths and
// sentences only.
func (a *app) allText(j allJSON) string {
	wide := 0
	for _, p := range j.Sources {
		wide = max(wide, len(p.Name))
	}
	var b strings.Builder
	for _, p := range j.Sources {
		mark := " "
		if p.Auto {
			mark = "*"
		}
		fmt.Fprintf(&b, "%s %-*s  %s\n", mark, wide, p.Name, a.stateOfPlace(p))
		for _, text := range p.remarks() {
			b.WriteString("      " + printable(text) + "\n")
		}
	}
	b.WriteString("\n" + j.verdict() + "\n")
	return b.String()
}

func (a *app) stateOfPlace(p placeJSON) string {
	word := strings.ReplaceAll(p.State, "-", " ")
	left := ""
	if !p.ExpiresAt.IsZero() {
		left = ", ended " + relative(a.now().Sub(p.ExpiresAt)) + " ago"
		if d := p.ExpiresAt.Sub(a.now()); d > 0 {
			left = ", " + relative(d) + " left"
		}
	}
	switch {
	case !p.Present:
		return word
	case p.Usable:
		return a.paint(green, word) + left
	case p.Renewable, p.State == stateNotRun:
		return a.paint(yellow, word) + left
	}
	return a.paint(red, word)
}

// remarks are the lines below a source that is there.
func (p placeJSON) remarks() (lines []string) {
	if !p.Present {
		return p.Notes
	}
	told := p.Error != nil && strings.Contains(p.Error.Message, p.Place)
	if !told && !strings.HasSuffix(p.Name, ":"+p.Place) { // the name of a variable says it all
		lines = append(lines, p.Place)
	}
	lines = append(lines, p.Notes...)
	if p.Error != nil {
		lines = append(lines, p.Error.Message, "hint: "+p.hint)
	}
	return lines
}

// verdict says what --source auto does here.
func (j allJSON) verdict() string {
	for _, p := range j.Sources {
		switch {
		case p.Auto && !p.Usable && !p.Renewable:
			return "* where --source auto stops: what is broken does not make way for another account"
		case p.Auto:
			return "* what --source auto uses; without --source it is claude-code"
		}
	}
	return "--source auto finds nothing here"
}
