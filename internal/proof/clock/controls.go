package clock

import "github.com/evercred/evercred/internal/proof/suite"

// without is a control of one edit.
func without(rule, file, old, new string) suite.Control {
	return suite.Control{Rule: rule, Edits: []suite.Edit{{File: file, Old: old, New: new}}}
}

var controls = []suite.Control{
	without("the wall clock counts, not the monotonic one", "source.go",
		"if now := s.seams.Clock.Now().UnixNano(); now < c.until", "if now := time.Now().UnixNano(); now < c.until"),
	{Rule: "Retry-After is believed up to an hour", Edits: []suite.Edit{
		{File: "internal/decide/memory.go", Old: "t.CooldownLimitedMin), t.CooldownLimitedMax)", New: "t.CooldownLimitedMin), 1000*t.CooldownLimitedMax)"},
		{File: "internal/decide/memory.go", Old: "n.Now.Add(min(d+n.jitter(d/8), t.CooldownLimitedMax))", New: "n.Now.Add(d)"},
	}},
	without("and for a minute at least", "internal/decide/memory.go",
		"d = min(max(n.RetryAt.Sub(n.Now), t.CooldownLimitedMin)", "d = min(max(n.RetryAt.Sub(n.Now), 0)"),
	without("a cooldown further ahead than any could be is over", "internal/decide/memory.go",
		"&& c.Until.Sub(now) <= longest+longest/4", "&& longest > 0"),
	without("seconds are no milliseconds", "owner/claudecode/codec.go",
		"ms, _ := strconv.ParseFloat(string(v.Raw()), 64)", "ms, _ := strconv.ParseFloat(string(v.Raw()), 64)\n\tif ms > 1e9 && ms < 1e10 {\n\t\tms *= 1000\n\t}"),
	without("what no clock can say is no lifetime", "grant/parse.go",
		"f < 1 || f > longest.Seconds() {", "f < 1 {"),
	without("no lock is judged across a jump of the clock", "internal/dirlock/watch.go",
		"if w.agree(now.wall.Sub(w.from.wall), still) && w.agree(now.awake-w.from.awake, still) {", "if still >= 0 {"),
	without("spacing ends where a clock jumped back", "internal/decide/memory.go",
		"&& !now.Before(u.At.Add(-t.Spacing))", ""),
	without("a short lifetime has short windows", "source.go",
		"life := m.Granted.Lifetime; life < time.Hour {", "life := m.Granted.Lifetime; life < 0 {"),
}
