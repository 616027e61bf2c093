package cli

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/claudecode"
	"github.com/evercred/evercred/sources"
)

// login is the source that the common flags and the environment mean.
type login struct {
	source   string   // as in --source
	file     string   // the document of a login, before links; empty: it is found when the source is opened
	chosenBy string   // the flag or variable that decided; empty: the default
	shadows  []string // variables that make the owner use something else
	warnings []string // what looks unintended about the choice
	options  sources.Options
}

// login says which source is meant. It does not look at the disk.
func (a *app) login() (login, error) {
	c := &a.common
	l := login{source: c.source, options: sources.Options{
		ConfigDir:      c.configDir,
		TokenURL:       c.tokenURL,
		ClientID:       c.clientID,
		AllowHosts:     lower(c.allowHosts),
		AllowFileMount: c.allowFileMount,
		AllowArgv:      c.allowArgv,
		AllowHelper:    c.allowHelper,
		HelperCommand:  c.helper,
		Renewal:        sources.Renewal(c.refresh),
		LookupEnv:      a.lookup,
		Environ:        func() []string { return slices.Clone(a.environ) },
		Managed:        a.managed,
	}}
	l.options.ReadOnly = c.readOnly
	// The flight ends a moment before its caller stops waiting, so that it is the
	// flight's own error that is told: it names the holder of a lock.
	l.options.RefreshTimeout = c.timeout - min(c.timeout/10, 250*time.Millisecond)
	l.options.Logger = a.logger()
	if c.readOnly && c.refresh == string(sources.Owner) {
		return login{}, usage("--read-only and --refresh owner contradict each other").advise("give one of them")
	}
	kind, path, _ := strings.Cut(c.source, ":")
	switch kind {
	case sources.ClaudeCode:
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
	case sources.File:
		l.source, l.file = kind, path
	}
	if kind != sources.Auto && kind != sources.Helper && c.configDir != "" {
		if _, byVariable := a.fromVariable("config-dir"); !byVariable {
			return login{}, usage("--config-dir says nothing beside --source %s", c.source).advise("give one of them")
		}
	}
	l.chosenBy = a.origin("source")
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

// open opens the source, and says in l what was found.
func (a *app) open(l *login) (sources.Lender, error) {
	name := l.source
	if name == sources.File {
		name += ":" + l.file
	}
	src, err := sources.Open(name, &l.options)
	var e *evercred.Error
	if variable, ok := a.fromVariable("token-url"); ok && errors.As(err, &e) && e.Reason == evercred.ReasonHost {
		named := *e
		named.Where = strings.TrimPrefix(e.Where+", named by "+variable, ", ")
		return nil, &named
	}
	if err != nil {
		return nil, err
	}
	l.tell(src)
	return src, nil
}

// tell takes in what opening has shown.
func (l *login) tell(src *sources.Source) {
	kind, _, _ := strings.Cut(src.Name, ":")
	if kind == sources.ClaudeCode || kind == sources.File {
		l.file = src.Place
	}
	if l.source == sources.Auto || kind == sources.Profile {
		l.warnings = append(l.warnings, src.Warnings...)
	}
	if l.source == sources.Auto {
		l.chosenBy += ", " + sources.Auto
	}
	if kind != sources.File {
		l.source = src.Name
	}
	for _, p := range src.Passed {
		l.warnings = append(l.warnings, p.Name+" of "+p.Place+" comes first and is "+p.Note)
	}
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
