package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// onTerminal reports whether a person reads what we say.
func (a *app) onTerminal() bool { return isTerminal(a.stderr) }

// colour is an SGR number.
type colour string

const (
	green  colour = "32"
	yellow colour = "33"
	red    colour = "31"
)

// paint colours text of the result, on a terminal whose user did not object
// (no-color.org).
func (a *app) paint(c colour, text string) string {
	no, _ := a.lookup("NO_COLOR")
	kind, _ := a.lookup("TERM")
	if no != "" || kind == "dumb" || !isTerminal(a.stdout) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
