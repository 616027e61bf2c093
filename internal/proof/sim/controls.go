package sim

import "github.com/evercred/evercred/internal/proof/suite"

// without is a control of one edit.
func without(rule, file, old, new string) suite.Control {
	return suite.Control{Rule: rule, Edits: []suite.Edit{{File: file, Old: old, New: new}}}
}

// controls are rules of DESIGN §6 and §4 that the simulation must miss.
var controls = []suite.Control{
	{Rule: "what is seen under the lock decides", Edits: []suite.Edit{
		{File: "refresh.go", Old: "event := f.look(ctx, decide.LookedAgain)", New: "event := f.looked(decide.LookedAgain)"},
		{File: "refresh.go", Old: "if err != nil || !cred.Refresh.Equal(f.sent.Refresh) {", New: "if err != nil && !cred.Refresh.Equal(f.sent.Refresh) {"},
	}},
	without("the answer is written down before anybody understands it", "refresh.go",
		"if err := x.f.record.Append(p); err != nil {", "if err := error(nil); err != nil {"),
	without("what a dead process was answered is recovered", "internal/decide/decide.go",
		"s.recover(e.Attempts); found {", "s.recover(nil); found {"),
	without("a spent token is never sent", "internal/decide/memory.go",
		"f.Spent = slices.Contains(m.Spent, s.Refresh)", "f.Spent = false"),
	without("a refusal is final, and nothing is sent again after it", "grant/parse.go",
		"return evercred.Refused", "return evercred.Unknown"),
	without("a 429 is heeded by everybody", "internal/decide/memory.go",
		"f.Cooldown = running(m.Cooldown, now, t.CooldownLimitedMax)", "f.Cooldown = false"),
	without("a save compares before it swaps", "filestore/save.go",
		"!bytes.Equal(c.data, old.Bytes()):", "len(c.data) == 0 && !bytes.Equal(c.data, old.Bytes()):"),
	without("another login is never overwritten", "internal/decide/decide.go",
		"case s.Seen.Refresh == s.Sending && (s.Rotated ||", "case s.Seen.Kind == Present && (s.Rotated ||"),
	without("the end of one caller does not end the flight of others", "source.go",
		"f.fly(context.WithoutCancel(ctx))", "f.fly(ctx)"),
	without("a caller waits no longer than its context", "source.go",
		"case <-ctx.Done():\n\t\t\t\treturn s.meanwhile", "case <-s.life.Done():\n\t\t\t\treturn s.meanwhile"),
	without("a panic of the observer harms nobody", "source.go",
		"if p := recover(); p != nil && s.opts.Logger != nil {", "if p := any(nil); p != nil && s.opts.Logger != nil {"),
	without("a refused token is not served again", "source.go",
		"r.rejected, r.until = true, math.MinInt64", "r.rejected, r.until = false, math.MinInt64"),
}
