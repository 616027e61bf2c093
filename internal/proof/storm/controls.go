package storm

import "github.com/evercred/evercred/internal/proof/suite"

// controls take one rule each out of production.
func controls() []suite.Control {
	return []suite.Control{
		{Slow: true, Rule: "the guard admits one process at a time", Only: Window.Name, Edits: []suite.Edit{{
			File: "internal/ledger/guard.go",
			Old:  "err := f.TryLock()",
			New:  "err := f.TryLock()\n\tif errors.Is(err, fsys.ErrWouldBlock) {\n\t\terr = nil\n\t}",
		}}},
		// The looks while waiting, under the lock, at the temporary file and before
		// the first byte stand in for each other: all are taken away.
		{Slow: true, Rule: "the store is looked at again before a token is sent", Only: Window.Name, Edits: []suite.Edit{{
			File: "refresh.go",
			Old:  "f.s.changed(f.ctx, f.latest.doc); err == nil && !changed {",
			New:  "f.s.changed(f.ctx, f.latest.doc); err != nil || changed || !changed {",
		}, {
			File: "refresh.go",
			Old:  "event := f.look(ctx, decide.LookedAgain)",
			New:  "event := f.looked(decide.LookedAgain)",
		}, {
			File: "refresh.go",
			Old:  "p.Prepare(ctx, f.seen.doc); err != nil {",
			New:  "p.Prepare(ctx, f.seen.doc); err != nil && !errors.Is(err, ErrConflict) {",
		}, {
			File: "refresh.go",
			Old:  "!cred.Refresh.Equal(f.sent.Refresh)",
			New:  "cred.Refresh.IsZero()",
		}}},
		{Rule: "the answer is in the escrow before anything else", Only: Window.Name, Edits: []suite.Edit{{
			File: "refresh.go",
			Old:  "x.f.record.Append(p)",
			New:  "x.f.record.Append(p[:0])",
		}}},
		{Slow: true, Rule: "what is in the escrow is recovered, and not asked for again", Only: Window.Name, Edits: []suite.Edit{{
			File: "internal/decide/decide.go",
			Old:  "if s.superseded(at) {",
			New:  "if !s.superseded(at) {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\tif s.superseded(at) {",
		}}},
		{Slow: true, Rule: "a lost answer is told", Only: Strict.Name, Edits: []suite.Edit{{
			File: "internal/decide/decide.go",
			Old:  "lost := s.Sends > 0 || s.Standing",
			New:  "lost := s.Sends > 0 && !s.Standing && s.Standing",
		}}},
	}
}
