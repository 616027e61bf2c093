package crashes

import "github.com/evercred/evercred/internal/proof/suite"

// without takes a rule away; only is where the loss of it must show.
func without(rule, only, file, old, instead string) suite.Control {
	return suite.Control{Rule: rule, Only: only, Edits: []suite.Edit{{File: file, Old: old, New: instead}}}
}

func controls() []suite.Control {
	const kills, cuts, inPlace = "first refresh, strict: killed", "first refresh, sibling: power cut", "in place, hard link: power cut"
	return []suite.Control{
		without("no escrow: the answer is not kept before it is understood", kills,
			"refresh.go", "x.f.record.Append(p)", "error(nil)"),
		without("no fdatasync of the answer", cuts,
			"internal/ledger/attempt.go", "errors.Join(a.broken, err, a.tape.sync())", "errors.Join(a.broken, err)"),
		without("no record that durably precedes the request", "first refresh, strict: power cut",
			"internal/ledger/attempts.go", "if err := f.Sync(); err != nil {\n\t\treturn err\n\t}\n\treturn g.syncDir(g.path)", "return nil"),
		without("no mark before the request", kills,
			"refresh.go", "x.err = f.record.MarkSending(f.now())", "x.err = nil"),
		without("no fsync of the temporary file before the rename", cuts,
			"internal/durable/replace.go", "if err := s.file.Sync(); err != nil {", "if err := error(nil); err != nil {"),
		without("no fsync of the directory after the rename", cuts,
			"internal/durable/durable.go", "err := d.Sync()", "err := error(nil)"),
		without("no fsync of a write in place", inPlace,
			"internal/durable/inplace.go", "crash.At(crash.DuringSave)\n\tif err := p.file.Sync(); err != nil {", "crash.At(crash.DuringSave)\n\tif err := error(nil); err != nil {"),
		without("no redo record of a write in place", "in place, mount: killed",
			"internal/durable/inplace.go", "if p.redo == nil {", "if p != nil {"),
		without("what a write in place left is not mended", "in place, longer: killed",
			"filestore/lock.go", "if err := h.mend(ctx); err != nil {", "if err := error(nil); err != nil {"),
		without("what dead processes staged is not swept", kills,
			"internal/ledger/guard.go", "if err := g.sweep(); err != nil {", "if err := error(nil); err != nil {"),
		without("an attempt of another login is recovered", "login meanwhile",
			"internal/decide/decide.go", "s.Seen.Kind == Present && s.Seen.Refresh != at.Refresh:", "s.Seen.Kind == Present && s.Seen.Refresh == \"\":"),
		without("the escrow outlives a logout", "logout meanwhile",
			"refresh.go", "if f.s.opts.ReadOnly || f.keeper != nil {", "if f != nil {"),
		without("what a loser blanked is not recovered", "blanked meanwhile",
			"internal/decide/decide.go", "&& !s.ReadOnly && (s.Seen.Kind == Present || s.Seen.Kind == Blanked)", "&& !s.ReadOnly && s.Seen.Kind == Present"),
	}
}
