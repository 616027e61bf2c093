// Package mounts runs the real command on real file systems that are full,
// read-only, mounted one over the other, or somebody else's (T6 of the proof).
package mounts

import (
	"os/exec"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T6.
func Suite() suite.Suite {
	return suite.Suite{
		ID:       "T6",
		Name:     "mounts",
		About:    "The real command on real mounts: full, read-only, bound, overlaid, immutable, another user's; and under resource limits.",
		Unit:     "scenarios",
		Needs:    []suite.Need{suite.Linux, suite.Root, tools},
		Sizes:    suite.Sizes{Smoke: 25, CI: 25, Full: 25},
		Factor:   4,
		Run:      run,
		Controls: controls,
	}
}

// tools make small file systems in files, and set attributes and limits.
var tools = suite.Need{Name: "e2fsprogs and util-linux", Lack: func() string {
	for _, name := range []string{"mkfs.ext4", "mount", "chattr", "prlimit"} {
		if _, err := exec.LookPath(name); err != nil {
			return name + " is not installed"
		}
	}
	return ""
}}
