package cli

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/anthropic"
	"github.com/evercred/evercred/owner/claudecode"
	"github.com/evercred/evercred/sources"
)

// examination is one look at everything that a refresh needs. It creates and
// changes nothing.
type examination struct {
	seam.Seams
	app      *app
	login    *login
	findings []finding

	document string // the path of what is examined, as it is named; empty: the source keeps none

	near   string // the file's path with the links of its directory resolved; empty: there is none
	target string // the file itself, every link resolved; empty: it leads nowhere
	seen   map[string]fsys.Info
	status evercred.Status
}

func (x *examination) ok(id, where, format string, args ...any) {
	x.findings = append(x.findings, finding{ID: id, Level: levelOK, What: fmt.Sprintf(format, args...), Where: where})
}

func (x *examination) warn(id, where, fix, format string, args ...any) {
	x.findings = append(x.findings, finding{id, levelWarn, fmt.Sprintf(format, args...), where, fix})
}

func (x *examination) bad(id, where, fix, format string, args ...any) {
	x.findings = append(x.findings, finding{id, levelBad, fmt.Sprintf(format, args...), where, fix})
}

// maxLinks is what Linux follows in one path.
const maxLinks = 40

// follow goes where the path leads, as the store does, and tells of a link in
// the file's place (FAILURES F2). That it leads nowhere, or in a circle, is in
// the state of the login.
func (x *examination) follow() {
	path, err := filepath.Abs(x.document)
	if err == nil {
		path, err = realDir(path)
	}
	if err != nil {
		return
	}
	x.near = path
	for links := 0; links <= maxLinks; links++ {
		i, err := x.FS.Lstat(path)
		if err != nil {
			return
		}
		if i.Mode.Type() != fs.ModeSymlink {
			x.target = path
			break
		}
		if path, err = x.leadsTo(path); err != nil {
			return
		}
	}
	if x.target != "" && x.target != x.near {
		x.warn("link", x.near, "let CLAUDE_CONFIG_DIR name the directory of the target, rather than linking the file",
			"the file is a link to %s; Claude Code replaces the link by a file when it saves, and then the target holds a spent token", x.target)
	}
}

// leadsTo follows one link.
func (x *examination) leadsTo(link string) (string, error) {
	to, err := x.FS.Readlink(link)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(link), to)
	}
	return realDir(to)
}

// realDir resolves the links of a path's directory, not of its last element.
func realDir(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// state is what the library says of the login, and its odd members.
func (x *examination) state(ctx context.Context) {
	src, err := x.app.open(x.login)
	if err != nil {
		x.bad(string(reasonOf(err)), "", x.app.remedy(reasonOf(err)), "%v", err)
		return
	}
	defer src.Close()
	if x.status, err = src.Status(ctx); err != nil {
		x.bad(string(evercred.ReasonTimeout), x.document, "look whether its file system hangs", "the login could not be looked at in time: %v", err)
		return
	}
	st := x.status
	reason := reasonOf(st.Err)
	switch {
	case st.State == evercred.StateOnDemand:
		x.ok("login", "", "a token is made when it is asked for; nothing was run or asked")
	case st.Usable && st.Expires.IsZero():
		x.ok("login", "", "the access token is good until it is refused")
	case st.Usable:
		x.ok("login", "", "the access token is good; it ends %s", x.app.moment(st.Expires))
	case st.Renewable:
		x.ok("login", "", "the access token has ended, and a refresh can renew it")
	case st.Err != nil:
		x.bad(string(reason), "", x.app.remedy(reason), "%v", st.Err)
	default:
		x.bad("login", "", x.app.remedy(evercred.ReasonRefused), "the login is neither usable nor renewable (%s)", st.State)
	}
	if st.Usable && st.Refresh == "" && x.login.file != "" { // of what is meant to have one
		x.warn(string(evercred.ReasonNoRefresh), "", x.app.remedy(evercred.ReasonNoRefresh), "there is no refresh token: the login ends with its access token")
	}
	x.deadline()
	if path := x.opened(); path != "" {
		x.oddities(ctx, path)
	}
}

// opened is the document of the source that was opened: auto has found it, or a
// profile has named it.
func (x *examination) opened() string {
	if x.login.kind() == sources.Profile && x.status.Access != "" {
		return x.status.Place
	}
	return x.login.file
}

// deadline warns before the login itself ends (FAILURES R17).
func (x *examination) deadline() {
	end := x.status.Deadline
	left := end.Sub(x.Clock.Now())
	switch {
	case end.IsZero() || left > x.Times.DeadlineWarning:
	case left > 0:
		x.warn(string(evercred.ReasonDeadline), "", x.app.remedy(evercred.ReasonDeadline)+" before", "the login itself ends %s", x.app.moment(end))
	case x.status.Usable:
		x.bad(string(evercred.ReasonDeadline), "", x.app.remedy(evercred.ReasonDeadline), "the login itself ended %s; only its access token is still good", x.app.moment(end))
	}
}

// oddities are what the codec tolerated, and a time that cannot be.
func (x *examination) oddities(ctx context.Context, path string) {
	doc, err := filestore.New(path, nil).Load(ctx)
	if err != nil {
		return
	}
	var codec evercred.Codec = claudecode.Codec{}
	if x.login.kind() == sources.Profile {
		codec = anthropic.Codec{ClientID: "any"} // that there is none is in the state
	}
	cred, err := codec.Decode(doc.Bytes())
	if err != nil {
		return
	}
	for _, note := range cred.Notes {
		x.warn("document", "", x.app.remedy(evercred.ReasonRefused)+", which writes it anew", "%s", note)
	}
	if ahead := doc.Modified().Sub(x.Clock.Now()); ahead > time.Minute {
		x.warn("clock", doc.Place(), "set the clock of this machine; tokens are judged by it",
			"the file was changed %s in the future: the clock is behind, or was when the file was saved", relative(ahead))
	}
}

// environment tells what makes Claude Code use something else, and what about
// the choice of the login looks unintended (INTEROP §1, §6).
func (x *examination) environment() {
	for _, text := range x.login.warnings {
		x.warn("location", "", "name the directory of the login by its full path", "%s", text)
	}
	shadows, named := x.login.shadows, x.login.source
	if named == "" { // it could not even be told which login is meant
		shadows = claudecode.Shadows(x.app.lookup)
	}
	for _, name := range shadows {
		x.warn("shadowed", "", "unset "+name+", if the stored login is meant", "%s is set: Claude Code itself goes by it, and does not use this login", name)
	}
	if len(shadows) == 0 && (named == "" || named == sources.ClaudeCode) {
		x.ok("environment", "", "no variable makes Claude Code use something else")
	}
}

// folders are our folders of the login: beside the file, and beside the link
// that leads to it (FAILURES F12).
func (x *examination) folders() []*ledger.Ledger {
	var books []*ledger.Ledger
	for _, path := range []string{x.target, x.near} {
		if path != "" && (len(books) == 0 || path != x.target) {
			books = append(books, ledger.Open(filepath.Dir(path), filepath.Base(path), x.Seams))
		}
	}
	return books
}

// quoted is a path for a shell.
func quoted(path string) string {
	plain := func(r rune) bool {
		return r > 0x7e || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
