package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evercred/evercred/sources"
)

// commonFlags are the flags of every verb that looks at a login (DESIGN §7).
type commonFlags struct {
	source         string
	configDir      string
	tokenURL       string
	clientID       string
	timeout        time.Duration
	readOnly       bool
	logLevel       string
	logFormat      string
	allowHosts     []string
	allowFileMount bool
	allowArgv      bool
	allowHelper    bool
	helper         string
	refresh        string
}

func (c *commonFlags) register(root *cobra.Command) {
	c.source, c.timeout, c.logLevel, c.logFormat = sources.ClaudeCode, 30*time.Second, "off", "text"
	c.refresh = string(sources.Self)
	f := root.PersistentFlags()
	f.Var((*source)(&c.source), "source", "whose credential: claude-code, profile[:NAME], env[:VARIABLE], helper, federation, file:PATH, or auto for the first that is there")
	f.Var((*nonEmpty)(&c.configDir), "config-dir", "the directory `DIR` of the login, like CLAUDE_CONFIG_DIR")
	f.Var((*nonEmpty)(&c.tokenURL), "token-url", "the token endpoint `URL`, instead of the owner's")
	f.Var((*nonEmpty)(&c.clientID), "client-id", "the OAuth client `ID` that the login was issued to, instead of the login's own")
	f.Var((*span)(&c.timeout), "timeout", "how long to wait for a result, such as 90s")
	f.BoolVar(&c.readOnly, "read-only", false, "never refresh; the same as --refresh never")
	enumFlag(root, f, &c.refresh, "refresh", "who renews a login: evercred, or the command of its owner", string(sources.Self), string(sources.Owner), string(sources.Never))
	f.Var((*nonEmpty)(&c.helper), "helper", "the `COMMAND` that prints an API key, for --source helper")
	f.BoolVar(&c.allowHelper, "allow-helper", false, "let --source auto run an apiKeyHelper that the settings name")
	enumFlag(root, f, &c.logLevel, "log-level", "what to log to standard error", "off", "error", "warn", "info", "debug")
	enumFlag(root, f, &c.logFormat, "log-format", "how to log", "text", "json")
	f.StringArrayVar(&c.allowHosts, "allow-token-host", nil, "a foreign token `HOST` that may be sent the refresh token; may be repeated")
	f.BoolVar(&c.allowFileMount, "allow-file-mount", false, "refresh a file that alone is a mount point, where no lock reaches the other side")
	f.BoolVar(&c.allowArgv, "allow-argv", false, "on a Mac, refresh a login too large for the keychain program's input: other processes of yours can see it for a moment")
}

// withoutLogin marks a verb that looks at no login: a bad EVERCRED_TIMEOUT must
// not keep anybody from reading the help.
const withoutLogin = "evercred: without login"

// enumFlag adds a flag of a few words, and their completion.
func enumFlag(cmd *cobra.Command, f *pflag.FlagSet, p *string, name, usage string, words ...string) {
	f.Var(&choice{p, words}, name, usage+": "+strings.Join(words, ", "))
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // its only error: no such flag
}

// applyVariables gives each flag that was not set the value of its variable.
func (a *app) applyVariables(cmd *cobra.Command) error {
	var wrong error
	common := cmd.Root().PersistentFlags()
	a.named = common.Changed("source")
	_, without := cmd.Annotations[withoutLogin]
	without = without || cmd == cmd.Root()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if wrong != nil || f.Changed || !hasVariable(f.Name) {
			return
		}
		if without && common.Lookup(f.Name) == f {
			return
		}
		name := variableOf(f.Name)
		value, _ := a.lookup(name)
		if value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			wrong = usage("the variable %s cannot be understood: %v", name, err).advise("mend it or unset it")
			return
		}
		a.variables = append(a.variables, name)
	})
	return wrong
}

// hasVariable leaves out what a project's environment file must not decide
// (FAILURES S7), and what is no setting.
func hasVariable(flag string) bool {
	switch flag {
	case "force", "fix", "help", "version", "helper":
		return false
	}
	return !strings.HasPrefix(flag, "allow-")
}

func variableOf(flag string) string {
	return "EVERCRED_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// nameVariables adds the variables to the help of the flags, when somebody
// asks for it.
func nameVariables(help func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, args []string) {
		cmd.InheritedFlags() // merges the common ones
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if mark := " [" + variableOf(f.Name) + "]"; hasVariable(f.Name) && !strings.HasSuffix(f.Usage, mark) {
				f.Usage += mark
			}
		})
		help(cmd, args)
	}
}

// choice is a flag of a few words.
type choice struct {
	value *string
	words []string
}

func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(c.words, ", "))
	}
	*c.value = s
	return nil
}
func (c *choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}
func (c *choice) Type() string { return "WORD" }

// span is a flag of a time that is not nothing.
type span time.Duration

func (v *span) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no time such as 30s or 2m", s)
	}
	if d <= 0 {
		return fmt.Errorf("%q is no time to wait", s)
	}
	*v = span(d)
	return nil
}
func (v *span) String() string { return time.Duration(*v).String() }
func (v *span) Type() string   { return "TIME" }

// nonEmpty is a flag whose empty value would be an accident of a script.
type nonEmpty string

func (v *nonEmpty) Set(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	*v = nonEmpty(s)
	return nil
}
func (v *nonEmpty) String() string { return string(*v) }
func (v *nonEmpty) Type() string   { return "TEXT" }

// source is the flag that says whose login.
type source string

func (v *source) Set(s string) error {
	if err := sources.Valid(s); err != nil {
		return err
	}
	*v = source(s)
	return nil
}
func (v *source) String() string { return string(*v) }
func (v *source) Type() string   { return "SOURCE" }
