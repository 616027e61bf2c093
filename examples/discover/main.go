// Command discover lists where this machine has credentials. It reads no secret
// and sends nothing.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/evercred/evercred/sources"
)

func main() { list(os.Stdout, nil) }

func list(out io.Writer, opts *sources.Options) {
	for f := range sources.Discover(opts) {
		switch {
		case !f.Present:
			continue
		case f.Err != nil:
			fmt.Fprintf(out, "%s: %v\n", f.Name, f.Err)
		default:
			fmt.Fprintf(out, "%s: %s %s\n", f.Name, f.Place, f.Note)
		}
	}
}
