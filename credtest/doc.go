// Package credtest tests what is built on evercred: conformance suites for a
// Store ([TestStore]) and a Codec ([TestCodec]), an in-memory [Store], a token
// [Endpoint] that misbehaves on demand, a stand-in for the program that keeps
// macOS's keychain ([Security]), and a guard ([Main], [Env]) that keeps tests away
// from the real logins of whoever runs them.
package credtest
