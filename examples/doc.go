// Package examples are small programs that ask Anthropic's API with whatever
// credential this machine has. They are a module of their own, so that nobody who
// imports evercred gets what they import.
//
//	go -C examples run ./discover  # which credentials there are; sends nothing
//	go -C examples run ./sdk       # one question, by the official Go SDK
//	go -C examples run ./nethttp   # one request, by net/http alone
package examples
