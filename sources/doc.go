// Package sources knows every place where a credential for Anthropic's API may
// be on a machine: variables, a helper command, an Anthropic profile, workload
// identity federation, Claude Code's login, or a file of that form.
//
// Open opens one of them by its name, or with Auto the one that the owners'
// documented order finds first (INTEROP §6). Discover lists them all and reads
// no secret. A source that is not here is passed over; one that is here and
// broken stops the search, or a program would work under another account than
// its user believes.
package sources
