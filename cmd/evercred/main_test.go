package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/cli"
)

// TestMain puts the command into PATH and keeps the tests away from real logins.
func TestMain(m *testing.M) {
	// A binary with the race detector sleeps for a second before it ends.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	testscript.Main(credtest.Guard{M: m}, map[string]func(){"evercred": command})
}

// command is main, with an administrator's settings in the home of the test: those
// of this machine are none of its business.
func command() {
	managed := []string{filepath.Join(os.Getenv("HOME"), "managed-settings.json")}
	os.Exit(cli.MainWith(managed, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// TestScripts runs testdata/*.txtar. The words that they use beside those of
// testscript stand in script_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		Setup:         setUp,
		Cmds:          words(),
		UpdateScripts: os.Getenv("EVERCRED_TEST_UPDATE") != "",
	})
}
