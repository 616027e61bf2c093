package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `evercred lends out the login of Claude Code: a token that is always fresh, from
a refresh token that is never spent twice and never lost. With --source it lends
what else there is for Anthropic's API: a profile of the ant command, a variable,
a helper command, or a workload's identity. "evercred status --all" lists them.

Standard output carries the result and nothing else. Every flag has a variable
beside it, such as EVERCRED_TIMEOUT for --timeout; the flag wins. --force, --fix
and every --allow-... have none.

Exit codes:
  0  done (status: usable or renewable)
  1  a bug of ours
  2  wrong usage or configuration
  3  no credential here: nobody is logged in
  4  login required: the login is dead, blanked or past its deadline
  5  temporarily unavailable; the message says when to try again
  6  another process holds the refresh lock and did not finish in time
  7  the store is unsafe or unreadable, or could not be saved to
  8  the asked condition does not hold`

// verb is one of the command's.
type verb struct {
	name string
	make func(*app) *cobra.Command
}

// verbs are all of them. A new one is a line here.
func verbs() []verb {
	return []verb{
		{"token", newToken},
		{"status", newStatus},
		{"refresh", newRefresh},
		{"exec", newExec},
		{"wait", newWait},
		{"doctor", newDoctor},
		{"demo", newDemo},
		{"version", newVersion},
	}
}

// newRoot puts together what these arguments need: the start of "evercred
// token" is paid for by every script that calls it, so where the first argument
// is a verb, the others are left out. Nothing is read or opened here.
func newRoot(a *app, args []string) *cobra.Command {
	showVersion := false
	root := &cobra.Command{
		Use:           "evercred VERB [flags]",
		Short:         "Lends out a login, always fresh, never lost",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.applyVariables(cmd)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if showVersion {
				return runVersion(a, versionOptions{})
			}
			return noSuchVerb(cmd, args)
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s", err).advise("`" + cmd.CommandPath() + " --help` lists the flags")
	})
	root.SetHelpFunc(nameVariables(root.HelpFunc()))
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	a.common.register(root)
	_ = root.RegisterFlagCompletionFunc("source", a.completeSource) // its only error: no such flag
	root.SetHelpCommand(newHelp(a))
	addVerbs(a, root, args)
	return root
}

func addVerbs(a *app, root *cobra.Command, args []string) {
	for _, v := range verbs() {
		if len(args) > 0 && args[0] == v.name {
			root.AddCommand(deferred(a, v.make(a)))
			root.CompletionOptions.DisableDefaultCmd = true
			return
		}
	}
	for _, v := range verbs() {
		root.AddCommand(deferred(a, v.make(a)))
	}
}

// deferred has a verb run when cobra has returned. Its stack grows while it
// serves a token, and a deep one is copied frame by frame: under cobra that took
// a fifth of the time (docs/measuring.md, cold).
func deferred(a *app, cmd *cobra.Command) *cobra.Command {
	for _, sub := range cmd.Commands() {
		deferred(a, sub)
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.work = func() error { return run(cmd, args) }
			return nil
		}
	}
	return cmd
}

func noSuchVerb(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("no verb was named").advise("`evercred help` lists the verbs")
	}
	advice := "`evercred help` lists the verbs"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		advice = "did you mean " + strings.Join(near, " or ") + "? " + advice
	}
	return usage("there is no verb %q", args[0]).advise(advice)
}

// noArguments is cobra.NoArgs in our words.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage("%s takes no argument %q", cmd.Name(), args[0]).advise("`" + cmd.CommandPath() + " --help` shows what it takes")
}
