package sources

import (
	"cmp"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred/federation"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/anthropic"
	"github.com/evercred/evercred/owner/claudecode"
)

// ownersCommand is what refreshes a login at its owner (INTEROP §8).
type ownersCommand struct {
	argv []string
	// dir is where it runs; empty: where we do. A repository that somebody cloned
	// and works in may hold settings of its own, with commands in them (S7).
	dir   string
	env   []string // for the command, as NAME=value
	store string   // the document that it renews
}

// claudeCommand refreshes a token that has expired, and only then [seen].
func claudeCommand(o *Options, at claudecode.Location) *ownersCommand {
	c := &ownersCommand{argv: []string{"claude", "auth", "status"}, store: at.Document}
	// With one of these in its environment it would look at another login, or none.
	env := o.Environ()
	hidden := claudecode.Shadows(func(name string) (string, bool) { return valueIn(env, name) })
	hidden = append(hidden, anthropic.VarProfile, federation.VarRuleID)
	if o.ConfigDir != "" {
		hidden = append(hidden, claudecode.VarStorageDir)
	}
	c.env = without(env, hidden...)
	if o.ConfigDir != "" {
		c.env = append(c.env, claudecode.VarConfigDir+"="+o.ConfigDir)
	}
	if at.Raw == "" || filepath.IsAbs(at.Raw) { // a relative one means what it says here, and nowhere else
		c.dir, c.env = at.Dir, without(c.env, "PWD", "OLDPWD")
	}
	return c
}

// antCommand prints the token as well; that goes to nobody.
func antCommand(o *Options, p *anthropic.Profile) *ownersCommand {
	return &ownersCommand{
		argv:  []string{"ant", "auth", "print-credentials", "--access-token"},
		store: p.Credentials,
		env: append(without(o.Environ()),
			anthropic.VarConfigDir+"="+p.Location.Dir, anthropic.VarProfile+"="+p.Location.Profile),
	}
}

// secrets of ours and of other sources are no business of the command.
var secrets = append([]string{"EVERCRED_TOKEN", federation.VarIdentityToken}, variables[:]...)

// without is an environment without some variables and the secrets.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		same := func(other string) bool { return sameVariable(name, other) }
		return slices.ContainsFunc(names, same) || slices.ContainsFunc(secrets, same)
	})
}

// valueIn is what a variable has in an environment; the last one counts.
func valueIn(env []string, name string) (value string, set bool) {
	for _, entry := range env {
		if n, v, ok := strings.Cut(entry, "="); ok && sameVariable(n, name) {
			value, set = v, true
		}
	}
	return value, set
}

func sameVariable(a, b string) bool {
	return a == b || runtime.GOOS == "windows" && strings.EqualFold(a, b)
}

func (c *ownersCommand) String() string { return "`" + strings.Join(c.argv, " ") + "`" }

// find looks the program up in the PATH of its own environment. An entry that is
// not absolute is passed over: it would find what a repository brought (S7).
func (c *ownersCommand) find() (string, error) {
	path, _ := valueIn(c.env, "PATH")
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if program, err := exec.LookPath(filepath.Join(dir, c.argv[0])); err == nil {
			return program, nil
		}
	}
	return "", errors.New("there is no " + c.argv[0] + " in PATH")
}

// run runs the program with nothing to read and nobody to listen. Its end is no
// verdict; an error only says why the store may be as it was. One that does not
// end in time gets a SIGTERM, and after that is left alone: a claude that is
// killed in the middle of its refresh loses the answer (INTEROP §3, §8).
func (c *ownersCommand) run(program string, times timing.Protocol) error {
	cmd := exec.Command(program, c.argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.SysProcAttr = procid.Apart()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // outlives us with a command that is left alone
	err, in := endOf(ended, times.OwnerPatience)
	if in {
		return err
	}
	terminate(cmd.Process)
	if err, in = endOf(ended, times.OwnerGrace); in {
		return cmp.Or(err, errors.New("it got a SIGTERM"))
	}
	return fmt.Errorf("it did not end within %v, nor %v after a SIGTERM, and was left alone (pid %d)", times.OwnerPatience, times.OwnerGrace, cmd.Process.Pid)
}

func endOf(ended <-chan error, within time.Duration) (err error, in bool) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err, true
	case <-timer.C:
		return nil, false
	}
}
