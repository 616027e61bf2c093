package cli

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/claudecode"
)

// login is the one that the common flags and the environment mean.
type login struct {
	source   string   // as in --source
	file     string   // where it should be, before links
	chosenBy string   // the flag or variable that decided; empty: the default
	shadows  []string // variables that make the owner use something else
	warnings []string // what looks unintended about the choice
	options  claudecode.Options
}

// login says which login is meant. It does not look at the disk.
func (a *app) login() (login, error) {
	c := &a.common
	l := login{source: c.source, options: claudecode.Options{
		ConfigDir:      c.configDir,
		TokenURL:       c.tokenURL,
		ClientID:       c.clientID,
		AllowHosts:     lower(c.allowHosts),
		AllowFileMount: c.allowFileMount,
		AllowArgv:      c.allowArgv,
		LookupEnv:      a.lookup,
	}}
	l.options.ReadOnly = c.readOnly
	// The flight ends a moment before its caller stops waiting, so that it is the
	// flight's own error that is told: it names the holder of a lock.
	l.options.RefreshTimeout = c.timeout - min(c.timeout/10, 250*time.Millisecond)
	l.options.Logger = a.logger()
	if path, isFile := strings.CutPrefix(c.source, sourceFile); isFile {
		if _, byVariable := a.fromVariable("config-dir"); c.configDir != "" && !byVariable {
			return login{}, usage("--config-dir says nothing beside --source %s", c.source).advise("give one of them")
		}
		l.source, l.file, l.chosenBy = "file", path, a.origin("source")
		return l, nil
	}
	at, err := claudecode.Locate(a.lookup, c.configDir)
	if err != nil {
		return login{}, err
	}
	l.file, l.chosenBy, l.warnings = at.Document, at.Variable, at.Warnings
	if c.configDir != "" {
		l.chosenBy = a.origin("config-dir")
	}
	l.shadows = claudecode.Shadows(a.lookup)
	return l, nil
}

// origin names who set a flag.
func (a *app) origin(flag string) string {
	if variable, ok := a.fromVariable(flag); ok {
		return variable
	}
	return "--" + flag
}

func lower(hosts []string) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = strings.ToLower(h)
	}
	return out
}

// open leaves it to the owner's rules where its login is, unless a file was named.
func (l login) open() (*evercred.Source, error) {
	if l.source == "file" {
		return claudecode.OpenFile(l.file, &l.options)
	}
	return claudecode.Open(&l.options)
}

// open makes a Source of the login.
func (a *app) open(l login) (*evercred.Source, error) {
	src, err := l.open()
	var e *evercred.Error
	if variable, ok := a.fromVariable("token-url"); ok && errors.As(err, &e) && e.Reason == evercred.ReasonHost {
		named := *e
		named.Where = strings.TrimPrefix(e.Where+", named by "+variable, ", ")
		return nil, &named
	}
	return src, err
}

// logger writes what a Source tells to standard error; nil: nothing is logged.
func (a *app) logger() *slog.Logger {
	if a.common.logLevel == "off" {
		return nil
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(a.common.logLevel)) // the flag takes slog's words only
	opts := &slog.HandlerOptions{Level: level}
	if a.common.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opts))
}
