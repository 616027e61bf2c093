package sources

import (
	"errors"
	"io/fs"
	"iter"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/anthropic"
)

// Found is a place that was looked at. It holds no secret.
type Found struct {
	// Name is what Open takes.
	Name string
	// Place is a file, a variable or a flag, for people.
	Place string
	// Why is what decided on the place: a variable or a file; empty: the default.
	Why string
	// Present: there is something. With an Err it is broken, and without it may
	// still be: only Lender.Status reads a credential.
	Present bool
	Err     error
	// Note says what keeps Auto from using it.
	Note string
	// Warnings say what looks unintended about the place.
	Warnings []string
}

// look takes in what came of a look at the place. Where no home is known, there
// is no file of the user's either.
func (f *Found) look(err error) {
	f.Err = err
	if errors.Is(err, evercred.ErrNotFound) || evercred.ReasonOf(err) == evercred.ReasonNoHome {
		f.Present = false
	}
	var e *evercred.Error
	if errors.As(err, &e) && e.Where != "" {
		f.Place = e.Where
	}
}

// Discover looks at every place, in the order of Auto (INTEROP §6), one at a time
// and each once: of a file that a source is described by, one read; of a store, a
// stat. It reads no secret, runs nothing and asks nobody.
func Discover(opts *Options) iter.Seq[Found] {
	o := filled(opts)
	return func(yield func(Found) bool) {
		for look := range o.order() {
			if c := look(); !yield(c.Found) {
				return
			}
		}
	}
}

// auto opens the first source that is present.
func (o *Options) auto() (*Source, error) {
	var passed []Found
	for look := range o.order() {
		c := look()
		switch {
		case !c.Present:
		case c.Note != "":
			passed = append(passed, c.Found)
		default:
			s, err := c.open()
			if err != nil {
				return nil, err
			}
			s.Passed = passed
			return s, nil
		}
	}
	s, err := o.claudeCode().open() // nobody is logged in yet
	if err != nil {
		return nil, err
	}
	s.Passed = passed
	return s, nil
}

// order is that of Claude Code's documentation, as far as the sources are ours
// (INTEROP §6). What the environment sets up for federation comes before a
// profile that nobody named.
func (o *Options) order() iter.Seq[func() candidate] {
	return func(yield func(func() candidate) bool) {
		variable := func(i int) func() candidate {
			return func() candidate { return o.variable(variables[i]) }
		}
		profile := func() candidate { return o.profile("") }
		looks := []func() candidate{variable(0), variable(1), o.helper, variable(2), profile, o.federation, o.stored}
		if name, _ := o.LookupEnv(anthropic.VarProfile); name == "" {
			looks[4], looks[5] = looks[5], looks[4]
		}
		for _, look := range looks {
			if !yield(look) {
				return
			}
		}
	}
}

// stored is Claude Code's login, with a look whether it is there. On a Mac only a
// process could tell that there is no keychain item, so it may be (INTEROP §7).
func (o *Options) stored() candidate {
	c := o.claudeCode()
	if seams := o.Seams.Filled(); c.Err == nil && seams.System != "darwin" {
		if _, err := seams.FS.Stat(c.Place); errors.Is(err, fs.ErrNotExist) {
			c.look(absent("nobody is logged in to Claude Code here", c.Place))
		}
	}
	return c
}
