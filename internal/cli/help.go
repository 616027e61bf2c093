package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred/docs"
)

func newHelp(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "help [VERB | REASON]",
		Short:       "Explain a verb, or the reason of an error",
		Annotations: map[string]string{withoutLogin: ""},
		RunE:        func(cmd *cobra.Command, args []string) error { return runHelp(a, cmd.Root(), args) },
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			topics := docs.Reasons()
			for _, c := range cmd.Root().Commands() {
				topics = append(topics, c.Name())
			}
			return topics, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func runHelp(a *app, root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err == nil && len(rest) == 0 {
		cmd.InitDefaultHelpFlag() // which is listed like every other
		return cmd.Help()
	}
	if len(args) == 1 {
		if page, ok := docs.Troubleshooting(args[0]); ok {
			return a.print(page)
		}
	}
	return usage("there is no help on %q", strings.Join(args, " ")).
		advise("the verbs are " + strings.Join(verbsOf(root), ", ") + "; the reasons are " + strings.Join(docs.Reasons(), ", "))
}

func verbsOf(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	return names
}
