package cuts

import "github.com/evercred/evercred/internal/proof/suite"

// without takes a rule away; only is where the loss of it must show.
func without(rule, only, file, old, instead string) suite.Control {
	return suite.Control{Rule: rule, Only: only, Edits: []suite.Edit{{File: file, Old: old, New: instead}}}
}

func controls() []suite.Control {
	const strict, decide = "answer, strict, length", "internal/decide/decide.go"
	return []suite.Control{
		without("a request cut amid counts as not sent", "request, strict",
			"grant/grant.go", `evercred.NewAnswer(nil, c.seams.Clock.Now()), c.unknown("the connection broke while`, `evercred.Answer{}, c.unsent(context.Background(), "the connection broke while`),
		without("a truncated answer counts as not sent", strict,
			"grant/grant.go", `c.unknown("no whole answer came", err)`, `c.unsent(context.Background(), "no whole answer came", err)`),
		without("a connection that breaks before the first byte counts as sent", "request cut at 0",
			"grant/grant.go", "if l.bottom.written == before &&", "if l.bottom.written < before &&"),
		without("an incomplete number counts as complete", "answer, strict, refresh token first",
			"grant/members.go", "if dec.InputOffset() == int64(size) &&", "if size < 0 &&"),
		without("an answer cut before the refresh token counts as whole", strict,
			"grant/parse.go", `case !r.closed && refresh == "":`, "case false:"),
		without("half a refusal convicts", "refusal",
			"grant/parse.go", "case r.cut || r.members.cut:\n\t\treturn evercred.Unknown", "case false:"),
		{Rule: "a resend after a 400", Only: strict, Edits: []suite.Edit{
			{File: decide, Old: "s.After = AfterRefusal", New: "s.After, s.Sends = AfterUnknown, s.Sends+1"},
			// The memory would stop it too.
			{File: decide, Old: "cause != None { // learned by", New: "cause == Bug { // learned by"},
		}},
		without("no repeat after an unknown outcome", "answer, idempotent, length",
			decide, "return MaxRepeats", "return 0"),
		without("what was never sent rests like what was", "connect refused",
			decide, `return s.giveUp(Unreachable, Lesson{Kind: LearnUnreachable}, "not-sent")`, `return s.giveUp(Unreachable, Lesson{Kind: LearnUnknown}, "")`),
	}
}
