// Package fuse runs the real command on a file system that lies (PROOF T5).
package fuse

import "github.com/evercred/evercred/internal/proof/suite"

// Suite is T5.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T5", Name: "liar", Unit: "scenarios", Factor: 10,
		About:    "The real command on a FUSE file system that lies about fsync, close, space, time, locks and names.",
		Needs:    []suite.Need{suite.Linux, suite.Root, suite.FUSE},
		Sizes:    suite.Sizes{Smoke: 12, CI: 120, Full: 120},
		Run:      run,
		Controls: controls,
	}
}

var controls = []suite.Control{
	{Rule: "a guard that is not supported counts as taken", Only: "no flock, expired", Edits: []suite.Edit{{
		File: "internal/ledger/guard.go",
		Old:  "return fmt.Errorf(\"%w: %w\", ErrUnsupported, err)",
		New:  "return nil",
	}}},
	{Rule: "an fsync of the save that fails is ignored", Only: "EIO on fsync of the save, expired", Edits: []suite.Edit{{
		File: "internal/durable/replace.go",
		Old:  "if err := s.file.Sync(); err != nil {",
		New:  "if err := s.file.Sync(); err != nil && false {",
	}}},
	{Rule: "a close of the save that fails is ignored", Only: "EIO on close of the save, expired", Edits: []suite.Edit{{
		File: "internal/durable/replace.go",
		Old:  "err = s.file.Close()",
		New:  "_ = s.file.Close()",
	}}},
	{Slow: true, Rule: "an fsync of the folder that fails is ignored", Only: "EIO on fsync of the document's folder after the grant, expired", Edits: []suite.Edit{{
		File: "internal/durable/replace.go",
		Old:  "if err := syncDir(d); err != nil {",
		New:  "if err := syncDir(d); err != nil && false {",
	}}},
	{Slow: true, Rule: "a takeover by age on a file system whose times are another's", Only: "foreign lock, an hour old", Edits: []suite.Edit{{
		File: "internal/dirlock/place.go",
		Old:  "return !remote(p.line.FS, p.Path)",
		New:  "return true",
	}}},
	{Rule: "a caller waits for the stat", Only: "a look that hangs, in a running program", Edits: []suite.Edit{{
		File: "internal/timing/timing.go",
		Old:  "ProbePatience:   5 * time.Millisecond,",
		New:  "ProbePatience:   5 * time.Second,",
	}}},
	{Rule: "no space is reserved before the grant", Only: "ENOSPC on fallocate, expired", Edits: []suite.Edit{
		{
			File: "internal/durable/durable.go",
			Old:  "if err := f.Preallocate(size); err != nil && !errors.Is(err, fsys.ErrUnsupported) {",
			New:  "if err := f.Preallocate(size); err != nil && !errors.Is(err, fsys.ErrUnsupported) && false {",
		},
		{
			File: "internal/ledger/attempts.go",
			Old:  "if err != nil && !errors.Is(err, fsys.ErrUnsupported) {",
			New:  "if err != nil && !errors.Is(err, fsys.ErrUnsupported) && false {",
		},
	}},
}
