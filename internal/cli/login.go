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
	source   string   // as in --source; with auto, the one that was found
	auto     bool     // auto has found it
	file     string   // the document of a login, before links; empty: it is found when the source is opened
	chosenBy string   // the flag or variable that decided; empty: the default
	shadows  []string // variables that make the owner use something else
	over     []string // what auto has passed by because this comes first; see lookBehind
	passed   []string // what auto found before and was not allowed to use
	warnings []string // what looks unintended about the choice
	options  *sources.Options
}

// options are what the common flags say to every source.
func (a *app) options() (*sources.Options, error) {
	c := &a.common
	if c.readOnly && c.refresh == string(sources.Owner) {
		return nil, usage("--read-only and --refresh owner contradict each other").advise("give one of them")
	}
	o := &sources.Options{
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
	}
	o.ReadOnly = c.readOnly
	// The flight ends a moment before its caller stops waiting, so that it is the
	// flight's own error that is told: it names the holder of a lock.
	o.RefreshTimeout = c.timeout - min(c.timeout/10, 250*time.Millisecond)
	o.Logger = a.logger()
	return o, nil
}

// login says which source is meant. It does not look at the disk.
func (a *app) login() (*login, error) {
	c := &a.common
	a.source = c.source
	o, err := a.options()
	if err != nil {
		return nil, err
	}
	l := &login{source: c.source, auto: c.source == sources.Auto, options: o}
	kind, path, _ := strings.Cut(c.source, ":")
	if _, byVariable := a.fromVariable("config-dir"); c.configDir != "" && !byVariable && !ofClaudeCode(kind) {
		return nil, usage("--config-dir names the directory of Claude Code's login, and --source %s does not look there", c.source).advise("give one of them")
	}
	if c.helper != "" && kind != sources.Helper && kind != sources.Auto {
		return nil, usage("--helper says nothing beside --source %s", c.source).advise("add --source helper, or --source auto")
	}
	switch kind {
	case sources.ClaudeCode:
		at, err := claudecode.Locate(a.lookup, c.configDir)
		if err != nil {
			return nil, err
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
	l.chosenBy = a.origin("source")
	return l, nil
}

// ofClaudeCode reports whether a source may look into Claude Code's directory.
func ofClaudeCode(kind string) bool {
	return kind == sources.ClaudeCode || kind == sources.Helper || kind == sources.Auto
}

// kind is the source without what follows the colon.
func (l *login) kind() string {
	kind, _, _ := strings.Cut(l.source, ":")
	return kind
}

// stored reports whether the source keeps a login that others may renew too.
func (l *login) stored() bool {
	switch l.kind() {
	case sources.Env, sources.Helper, sources.Federation:
		return false
	}
	return true
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
	src, err := sources.Open(name, l.options)
	var e *evercred.Error
	if variable, ok := a.fromVariable("token-url"); ok && errors.As(err, &e) && e.Reason == evercred.ReasonHost {
		named := *e
		named.Where = strings.TrimPrefix(e.Where+", named by "+variable, ", ")
		return nil, &named
	}
	if err != nil {
		if l.auto {
			a.source = firstFound(l.options)
		}
		return nil, err
	}
	l.tell(src)
	a.source = l.source
	return src, nil
}

// firstFound is the source at which auto ended.
func firstFound(o *sources.Options) string {
	for f := range sources.Discover(o) {
		if f.Present && f.Note == "" {
			return f.Name
		}
	}
	return sources.Auto
}

// tell takes in what opening has shown.
func (l *login) tell(src *sources.Source) {
	named := l.kind()
	l.source = src.Name
	kind := l.kind()
	if kind == sources.ClaudeCode || kind == sources.File {
		l.file = src.Place
	}
	if l.auto || named != sources.ClaudeCode { // of that one they are known
		l.warnings = append(l.warnings, src.Warnings...)
	}
	if src.Why != "" && named != sources.ClaudeCode {
		l.chosenBy += ", " + src.Why
	}
	for _, p := range src.Passed {
		l.passed = append(l.passed, p.Name+" of "+p.Place+" comes first and is "+p.Note)
	}
}

// lookBehind finds out what auto would use if this were not there.
func (l *login) lookBehind() {
	if !l.auto {
		return
	}
	found := false
	for f := range sources.Discover(l.options) {
		switch {
		case f.Name == l.source:
			found = true
		case found && f.Present:
			l.over = append(l.over, f.Name)
		}
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
