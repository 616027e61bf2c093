package mutants

import "os/exec"

// leash and unleash are of use on Unix only, and so is the suite.
func leash(*exec.Cmd)   {}
func unleash(*exec.Cmd) {}
