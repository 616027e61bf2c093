// Package interop holds the test that drives the official anthropic-sdk-go and
// evercred against one profile. It is a module of its own, so that nobody who
// imports evercred gets the SDK.
package interop
