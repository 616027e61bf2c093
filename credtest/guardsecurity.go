package credtest

import "os"

// securityVar names the directory of a [Security] for the process that is its
// program.
const securityVar = "EVERCRED_TEST_SECURITY"

// beSecurity makes this process the program of a [Security] if it was started
// as one, and does not return then.
func beSecurity() {
	if dir := os.Getenv(securityVar); dir != "" {
		os.Exit(runSecurity(dir, os.Args[1:], os.Environ()))
	}
}
