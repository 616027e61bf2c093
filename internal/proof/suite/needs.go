package suite

import (
	"os"
	"os/exec"
	"runtime"
)

// Need is something that not every machine has. Lack says what is missing;
// empty: nothing.
type Need struct {
	Name string
	Lack func() string
}

// What suites need.
var (
	Linux = Need{"Linux", func() string {
		if runtime.GOOS != "linux" {
			return "this is " + runtime.GOOS
		}
		return ""
	}}
	Root = Need{"root", func() string {
		if os.Geteuid() != 0 {
			return "this is not root"
		}
		return ""
	}}
	FUSE = Need{"FUSE", func() string {
		if _, err := os.Stat("/dev/fuse"); err != nil {
			return "there is no /dev/fuse"
		}
		return ""
	}}
	Node   = tool("node")
	NPM    = tool("npm")
	Strace = tool("strace")
)

// tool needs a program.
func tool(name string) Need {
	return Need{name, func() string {
		if _, err := exec.LookPath(name); err != nil {
			return name + " is not installed"
		}
		return ""
	}}
}

// lack is the first thing missing for a suite.
func (s *Suite) lack() string {
	for _, n := range s.Needs {
		if why := n.Lack(); why != "" {
			return why
		}
	}
	return ""
}
