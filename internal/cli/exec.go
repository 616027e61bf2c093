package cli

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

type execOptions struct{ env string }

func newExec(a *app) *cobra.Command {
	o := execOptions{env: "EVERCRED_TOKEN"}
	cmd := &cobra.Command{
		Use:   "exec [flags] -- CMD [ARG...]",
		Short: "Run a command with a fresh token in its environment",
		Long: `Runs CMD with a fresh token in EVERCRED_TOKEN, or in the variable named with
--env, and passes signals on to it. The token is as good as it is at the start:
a command that runs for hours asks "evercred token" again.

Exits with the code of CMD, with 128+n if signal n ended it, with 126 if it
cannot be run and 127 if there is none. Before CMD starts, with the codes that
"evercred help" lists.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("exec needs a command").advise("for example: evercred exec -- CMD")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return runExec(a, o, args) },
	}
	cmd.Flags().SetInterspersed(false) // what follows CMD is CMD's
	cmd.Flags().Var((*variableName)(&o.env), "env", "the variable that is to hold the token")
	return cmd
}

func runExec(a *app, o execOptions, argv []string) error {
	path, err := exec.LookPath(argv[0])
	if refused := o.refuse(a, argv[0], path); refused != nil {
		return refused
	}
	if err != nil {
		return a.cannotStart(err)
	}
	return a.within(func(s *session) error {
		r, err := s.fresh()
		if err != nil {
			return err
		}
		s.warn(r)
		cmd := exec.Command(path, argv[1:]...)
		cmd.Args[0] = argv[0]
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
		// The only place where a token enters an environment (DESIGN §3.5).
		cmd.Env = append(append([]string{}, a.environ...), o.env+"="+r.Token.Reveal())
		return s.run(cmd)
	})
}

// run starts cmd, passes signals on and gives its exit code. The Source stays
// open meanwhile: a flight that outlived --timeout ends beside the command.
func (s *session) run(cmd *exec.Cmd) error {
	s.listen()
	for _, sig := range passed {
		if !signal.Ignored(sig) {
			signal.Notify(s.signals, sig)
		}
	}
	forbid := s.app.cores.allow() // the command's core is the command's affair
	err := cmd.Start()
	forbid()
	if err != nil {
		return s.app.cannotStart(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-s.signals:
			if !reachedBoth(sig) {
				_ = cmd.Process.Signal(sig) // its only error: it has just ended
			}
		case err := <-ended:
			s.forget() // what came up to now was the command's
			return childStatus(cmd.ProcessState, err)
		}
	}
}

// childStatus is the exit code of a command that ended.
func childStatus(state *os.ProcessState, err error) error {
	if state == nil {
		return err
	}
	code := state.ExitCode()
	if n, ok := endedBy(state); ok {
		code = exitSignal + n
	}
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

// cannotStart says why a command did not start, with the codes of the shells.
func (a *app) cannotStart(err error) error {
	code, advice := exitCannotRun, "look at its permissions and its first line"
	var cause *exec.Error
	switch {
	case errors.As(err, &cause) && errors.Is(cause.Err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		code, advice = exitNoCommand, "look at its spelling and at PATH"
	case errors.Is(err, exec.ErrDot):
		advice = "name it with ./ if the one in the current directory is meant"
	}
	a.say("the command cannot be run: %v", err)
	a.say1("hint: %s", advice)
	return exitStatus(code)
}

// credentialVariables make a `claude` use something else than its own login,
// and turn its own refresh off (INTEROP §6, §8).
func credentialVariables() []string {
	return []string{"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"}
}

// refuse keeps a credential variable away from the owner.
func (o execOptions) refuse(a *app, name, path string) error {
	if !isClaude(name) && !isClaude(path) {
		return nil
	}
	for _, v := range credentialVariables() {
		value, _ := a.lookup(v)
		if v != o.env && value == "" {
			continue
		}
		advice := "run `claude` by itself: it renews its own login"
		if value != "" {
			advice = "unset " + v + ", or run `claude` without evercred"
		}
		return usage("claude is not run with %s set: it would use that in place of its login, and no longer renew it", v).advise(advice)
	}
	return nil
}

// isClaude reports whether a path names the owner's command, links resolved.
func isClaude(path string) bool {
	target, err := filepath.EvalSymlinks(path)
	return namedClaude(path) || err == nil && namedClaude(target)
}

func namedClaude(path string) bool {
	switch strings.ToLower(filepath.Base(path)) {
	case "claude", "claude.exe", "claude.cmd", "claude.bat", "claude.ps1":
		return true
	}
	return false
}

// variableName is the flag that names a variable.
type variableName string

func (v *variableName) Set(s string) error {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return errors.New("a variable is named with letters, digits and _")
		}
	}
	if s == "" {
		return errors.New("it is empty")
	}
	switch strings.ToUpper(s) { // a project's EVERCRED_ENV must not break or lead away the command
	case "PATH", "HOME", "USERPROFILE", "SHELL", "IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PATHEXT", "COMSPEC":
		return errors.New("the command needs that variable for itself")
	}
	*v = variableName(s)
	return nil
}

func (v *variableName) String() string { return string(*v) }

func (v *variableName) Type() string { return "NAME" }
