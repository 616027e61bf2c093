package model

import "github.com/evercred/evercred/internal/proof/suite"

// controls take out one rule each: of production's decisions, and, where
// refresh.go keeps it, of the performer here.
func controls() []suite.Control {
	const decide, memory, here = "internal/decide/decide.go", "internal/decide/memory.go", "internal/proof/model/rules.go"
	var all []suite.Control
	add := func(rule, only, file, before, after string) {
		all = append(all, suite.Control{Rule: rule, Only: only, Edits: []suite.Edit{{File: file, Old: before, New: after}}})
	}
	off := func(rule, only, name string) { add(rule, only, here, name+" = true", name+" = false") }

	// What keeps a login.
	off("no lock", "strict, messages", "exclusive     ")
	off("no second look", "strict, messages", "lookUnderLock ")
	off("no record before the request", "strict, messages", "recordFirst   ")
	off("no mark before the first byte", "late requests", "markFirst     ")
	off("the answer is understood before it is durable", "strict, messages", "durableFirst  ")
	off("the locks are not asked before the first byte", "strict, stolen locks", "checkLocks    ")
	off("the document is not compared before the first byte", "login", "compareStored ")
	off("a save without compare-and-swap", "login", "compareAndSwap")
	off("an attempt is closed before its grant is noted", "an older copy", "learnFirst    ")
	off("the document is read before the memory", "strict, messages", "memoryFirst   ")
	off("the history forgets whom a dead process's token went to", "an older copy", "heirNoted     ")
	off("spacing counts from the first of two dead senders", "two dead senders", "lastCounts    ")
	off("what a logout leaves is kept", "logout and login", "forgetLogouts ")
	add("no escrow", "strict, messages", decide, "if s.superseded(at) {", "if s.superseded(at) || true {")
	add("a request without answer is forgotten", "late requests", decide,
		"if s.Seen.Kind == Blanked { // nothing left to send, nothing came back", "if true {")
	add("no spacing", "late requests", decide, "case f.Spacing:", "case false:")
	add("a dead sender's request is not noted", "late requests", decide, "if slices.ContainsFunc(stand, unanswered) {", "if false {")
	add("a lost answer is not noted", "idempotent, messages", decide, "Lesson: Lesson{Kind: LearnUnanswered, Skip: e.Replied}", "")
	add("no spent list", "an older copy", decide, "case f.Spent:", "case false:")
	add("a grant is not noted", "an older copy", decide, "Action{Do: Clear, Lesson: Lesson{Kind: LearnGranted}}", "Action{Do: Clear}")
	add("a dead process's grant is not noted", "an older copy", decide, "a.Lesson = Lesson{Kind: LearnSpent}", "a.Lesson = Lesson{}")
	add("an older copy beats the escrow", "an older copy and a full disk", decide, "return s.Facts.Spent && at.Descends", "return false && at.Descends")
	add("an older copy is taken for another login", "an older copy", decide, "case s.Facts.Spent: // an", "case false: // an")
	add("a failed save drops the token", "a full disk", decide,
		"case SaveFailed: // step 11\n\t\treturn s, Action{Do: ServeUnsaved}", "case SaveFailed:\n\t\treturn s.giveUp(CannotSave, Lesson{}, \"lost\")")
	add("an answer is saved over another login", "login", decide,
		"case s.Seen.Refresh == s.Sending && (s.Rotated || s.Seen.Access == s.SendingAccess):", "case true:")
	add("the escrow is recovered over another login", "login", decide,
		"s.Seen.Kind == Blanked && at.OtherLogin, s.Seen.Kind == Present && s.Seen.Refresh != at.Refresh:", "s.Seen.Kind == Blanked && at.OtherLogin:")
	add("no look after a refusal", "login", decide, "if s.Seen.Kind == Present && s.Seen.Refresh == sent {", "if sent != \"\" {")
	add("what was learned of one token counts for all", "login", memory, "if m.Print == s.Refresh {", "if m.Print != \"\" {")

	// What keeps the endpoint.
	add("a fresh token is renewed", "forced by two at once", decide, "case s.acceptable() && s.Seen.Left > s.Seen.Early:", "case false:")
	add("no cooldown", "outage", decide, "case f.Cooldown:", "case false:")
	add("no cooldown after an unknown outcome", "outage", decide,
		"return s.giveUp(UnknownOutcome, Lesson{Kind: LearnUnknown}, \"\")", "return s.giveUp(UnknownOutcome, Lesson{}, \"\")")
	add("no cooldown after a 429", "429", decide, "s.giveUp(RateLimited, Lesson{Kind: LearnLimited}, \"limited\")", "s.giveUp(RateLimited, Lesson{}, \"limited\")")
	add("no cooldown after a captive portal", "captive portal", decide, "s.giveUp(NotEndpoint, Lesson{Kind: LearnForeign}, \"foreign\")", "s.giveUp(NotEndpoint, Lesson{}, \"foreign\")")
	add("repeats without end", "outage", decide, "if !s.Patient || s.Sends > s.allowed() {", "if !s.Patient {")
	add("repeats in the early window", "outage, early", decide, "if !s.Patient || s.Sends > s.allowed() {", "if s.Sends > s.allowed() {")
	add("a dead token is not remembered", "strict, messages", decide, "Lesson{Kind: LearnDead, Lost: lost}", "Lesson{}")
	add("a resend after a refusal", "strict, messages", decide, "return s.giveUp(cause, Lesson{Kind: LearnDead, Lost: lost}, \"refused\")", "_ = cause\n\t\treturn s.restart(\"refused\")")
	add("no rest where the API refuses fresh tokens", "the API refuses fresh tokens", decide, "if s.Facts.FreshRefused {", "if false {")
	add("every attempt of an outage is kept", "long outage", decide, "s.Sends == 0 && spare != nil {", "s.Sends < 0 && spare != nil {")
	return all
}
