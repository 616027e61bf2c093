// Command evercred lends out the login of Claude Code, always fresh, and never
// loses it. `evercred help` says how.
package main

import (
	"os"

	"github.com/evercred/evercred/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
