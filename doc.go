// Package evercred lends out an OAuth access token that another program owns,
// and keeps it fresh: above all the login that the Claude Code CLI keeps on a
// user's machine.
//
//	src, err := claudecode.Open(nil)
//	if err != nil { … }
//	defer src.Close()
//	client := &http.Client{Transport: &evercred.Transport{
//		Provider: src,
//		Hosts:    []string{"api.anthropic.com"},
//	}}
//
// Such a login holds a refresh token that works once. When two processes spend
// it at the same moment, or one dies between the endpoint's answer and the
// save, everybody is logged out. A [Source] makes any number of goroutines and
// processes on one login cause one grant, saves the successor without loss and
// without touching a byte that is not its own, and never writes on failure.
//
// # The parts
//
// A [Source] is made of a [Store] (where the bytes live), a [Codec] (what they
// mean) and a [Refresher] (how to renew them). Package claudecode puts them
// together for Claude Code; package filestore and package grant are the parts
// for logins of your own, and package credtest holds conformance suites for
// them. [Static], [Chain] and [Cached] are the simpler [Provider]s.
//
// # Errors
//
// Errors say what to do next: match [ErrNotFound], [ErrLoginRequired],
// [ErrUnavailable], [ErrLocked], [ErrUnsafe], [ErrConflict], [ErrConfig] and
// [ErrClosed] with errors.Is. Each [Error] has a [Reason], which is an anchor
// of docs/troubleshooting.md. No error holds a secret.
//
// # What no library can cover
//
// A flight that has sent its request must be allowed to end: call
// [Source.Close] before the program does, and from its handlers of SIGINT and
// SIGTERM. os.Exit, syscall.Exec and an unhandled SIGTERM in the middle of a
// flight end it like a SIGKILL would: what the endpoint had answered by then is
// in the ledger, and the next process recovers it; an answer that was still on
// its way is lost, unless the endpoint answers a repeated grant. The library
// itself installs no signal handler.
//
// # Compatibility
//
// The exported names follow semantic versioning. Fields named Seams are for
// this module's own tests and have types that nobody else can make; everything
// under internal may change at any time, the ledger's format included: it
// carries a version, and a version that is not known is left untouched.
package evercred
