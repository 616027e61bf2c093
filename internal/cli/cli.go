// Package cli is the command: one file a verb, each an options struct and a run
// function. It is the only package that reads the environment for itself, and
// it reads it once, as the list that Main is given.
package cli

import (
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred"
)

// Main runs the command and returns its exit code. environ is os.Environ or its
// like. A command that a signal ended does not return: it dies of that signal.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	return MainWith(nil, args, stdin, stdout, stderr, environ)
}

// MainWith is Main where managed are the administrator's settings files of Claude
// Code, instead of its own: tests must not open those of the machine.
func MainWith(managed, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, environ: environ, now: time.Now, managed: managed}
	return a.main(args)
}

// app is what every verb is given: where to read and write, what time it is,
// and what the common flags say.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	now            func() time.Time
	managed        []string // see MainWith

	cores     cores
	common    commonFlags
	variables []string     // the EVERCRED_ variables that stood in for flags
	named     bool         // --source was given as a flag
	source    string       // whose credential it is; remedies go by it
	work      func() error // of the verb that was named; see deferred
}

func (a *app) main(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			code = a.end(panicked(p))
		}
	}()
	a.cores.forbid()
	root := newRoot(a, args)
	root.SetArgs(append([]string{}, args...)) // nil would make cobra read os.Args
	err := root.Execute()
	if err == nil && a.work != nil {
		err = a.work()
	}
	return a.end(err)
}

// lookup is os.LookupEnv over environ.
func (a *app) lookup(name string) (string, bool) {
	for _, v := range a.environ {
		key, value, ok := strings.Cut(v, "=")
		if ok && (key == name || runtime.GOOS == "windows" && strings.EqualFold(key, name)) {
			return value, true
		}
	}
	return "", false
}

// fromVariable reports whether the flag's EVERCRED_ twin stood in for it.
func (a *app) fromVariable(flag string) (variable string, ok bool) {
	name := variableOf(flag)
	return name, slices.Contains(a.variables, name)
}

// panicked turns a panic into an error. The value is shown only if it is the
// runtime's own: anybody else's may hold a secret. The stack holds none.
func panicked(p any) error {
	e := &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonBug, What: "a bug: the command panicked"}
	if r, ok := p.(runtime.Error); ok {
		e.Err = r
	}
	return &advised{err: e, advice: "please report this, with the lines below", trace: debug.Stack()}
}
