package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/sources"
)

type doctorOptions struct{ fix, json bool }

func newDoctor(a *app) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what will break, and say the fix",
		Long: `Looks at everything that a refresh needs (the file, its directory, the locks of
Claude Code, our own records, the environment) and says what will break and how to
mend it. It asks for no token, takes no lock and prints no secret.

With --fix it mends what evercred itself left behind: the owner and the
permissions of its records, and files that an interrupted refresh left. It never
touches the login or the locks of Claude Code.

Exit 8 if it found something.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runDoctor(a, o) },
	}
	cmd.Flags().BoolVar(&o.fix, "fix", false, "mend what evercred itself left behind")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func runDoctor(a *app, o doctorOptions) error {
	var real *seam.Seams
	j := doctorJSON{Version: jsonVersion, Mended: []string{}}
	x := a.examine(real.Filled())
	if o.fix {
		mended, failed := x.mend()
		j.Mended = list(mended)
		x = a.examine(real.Filled())
		x.findings = append(x.findings, failed...)
	}
	j.Place, j.Findings = x.document, x.findings
	j.OK = !slices.ContainsFunc(x.findings, func(f finding) bool { return f.Level != levelOK })
	var err error
	if o.json {
		err = a.printJSON(j)
	} else {
		err = a.print(a.doctorText(j))
	}
	if err == nil && !j.OK {
		err = exitStatus(exitCondition)
	}
	return err
}

// doctorJSON is `doctor --json`. Its shape is held by a test.
type doctorJSON struct {
	Version  int       `json:"version"`
	OK       bool      `json:"ok"`
	Place    string    `json:"place"`
	Findings []finding `json:"findings"`
	Mended   []string  `json:"mended"`
}

// level is how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // works, and should not stay so
	levelBad  level = "bad"  // keeps a token from being renewed, or puts the login at risk
)

// finding is one thing that was looked at.
type finding struct {
	// ID names the kind. Where it is the reason of an error, `evercred help ID`
	// says more.
	ID    string `json:"id"`
	Level level  `json:"level"`
	What  string `json:"what"`
	Where string `json:"where,omitempty"`
	Fix   string `json:"fix,omitempty"`
}

func (a *app) doctorText(j doctorJSON) string {
	colours := map[level]colour{levelOK: green, levelWarn: yellow, levelBad: red}
	var b strings.Builder
	for _, what := range j.Mended {
		fmt.Fprintf(&b, "%s  %s\n", a.paint(green, "done"), printable(what))
	}
	for _, f := range j.Findings {
		word := a.paint(colours[f.Level], fmt.Sprintf("%-4s", f.Level))
		what := f.What
		if f.Where != "" {
			what += ", " + f.Where
		}
		fmt.Fprintf(&b, "%s  %s\n", word, printable(what))
		if f.Fix != "" {
			fmt.Fprintf(&b, "      fix: %s\n", printable(f.Fix))
		}
	}
	return b.String()
}

// at looks where the document is, if it is known.
func (x *examination) at(document string) {
	if x.document = document; document != "" {
		x.follow()
		x.firstSight()
	}
}

// examine looks at everything once.
func (a *app) examine(s seam.Seams) *examination {
	x := &examination{app: a, Seams: s, login: &login{}}
	defer x.environment() // last, and also where no login is named
	l, err := a.login()
	if err != nil {
		x.bad(string(reasonOf(err)), "", a.remedy(reasonOf(err)), "%v", err)
		return x
	}
	x.login = l
	x.at(l.file)
	ctx, cancel := context.WithTimeout(context.Background(), a.common.timeout)
	defer cancel()
	x.state(ctx)
	if x.near == "" {
		x.at(x.opened())
	}
	if x.document == "" {
		return x
	}
	x.file()
	x.directory()
	if x.login.kind() != sources.Profile || x.status.Refresh != "" { // else it is followed and never saved
		x.saving()
	}
	x.locks()
	x.holders()
	x.records()
	return x
}
