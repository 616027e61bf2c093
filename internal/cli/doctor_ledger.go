package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
)

// records looks at our own folders: whose they are, and what they say.
func (x *examination) records() {
	found := len(x.findings)
	there := false
	for n, book := range x.folders() {
		entries := x.ours(book)
		if len(entries) == 0 {
			continue
		}
		there = true
		x.entries(book, entries)
		if n == 0 { // the file's own; that of a link holds a guard and nothing else
			x.remembered(book)
		}
	}
	switch {
	case len(x.findings) > found:
	case there:
		x.ok("ledger", "", "the records of evercred are in order")
	default:
		x.ok("ledger", "", "evercred has no records here: no refresh was tried")
	}
}

// entry is one of our files or directories.
type entry struct {
	rel  string // below the directory of the login
	info fsys.Info
}

// ours lists what evercred made beside a login: the folder of every login of
// that directory, and in it the names that are ours. What cannot be listed is
// left out; the row of its directory says why.
func (x *examination) ours(book *ledger.Ledger) []entry {
	top := filepath.Dir(book.Path())
	dir := filepath.Dir(top)
	var found []entry
	var list func(rel string, depth int)
	list = func(rel string, depth int) {
		i, err := x.FS.Lstat(filepath.Join(dir, rel))
		if err != nil {
			return
		}
		found = append(found, entry{rel, i})
		if !i.Mode.IsDir() || depth == 0 {
			return
		}
		names, _ := x.FS.ReadDir(filepath.Join(dir, rel))
		for _, name := range names {
			if depth > 1 || isRecord(name) {
				list(filepath.Join(rel, name), depth-1)
			}
		}
	}
	list(filepath.Base(top), 2)
	return found
}

// isRecord knows the names in a ledger (package ledger).
func isRecord(name string) bool {
	return name == "guard" || name == "holder" || name == "memory" || name == "redo" || strings.HasPrefix(name, "attempt-") || isStaged(name)
}

// isStaged knows the names under which a refresh prepares something.
func isStaged(name string) bool {
	return strings.HasPrefix(name, "tmp-") || strings.HasPrefix(name, "lock-")
}

// entries tells of records that another user owns, as a run with sudo or in a
// container leaves them, of open ones and of planted ones (FAILURES F10, S5).
func (x *examination) entries(book *ledger.Ledger, entries []entry) {
	top := filepath.Dir(book.Path())
	owner, err := x.FS.Stat(filepath.Dir(top))
	if err != nil || owner.UID < 0 {
		return // Windows has other means
	}
	var foreign, open, planted []string
	user := 0
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(top), e.rel)
		switch {
		case !e.info.Mode.IsDir() && !e.info.Mode.IsRegular(), e.info.Mode.IsRegular() && e.info.Nlink > 1:
			planted = append(planted, path)
		case e.info.UID != owner.UID:
			foreign, user = append(foreign, path), e.info.UID
		case e.info.Mode.Perm()&0o077 != 0:
			open = append(open, path)
		}
	}
	if len(foreign) > 0 {
		x.bad(string(evercred.ReasonForeignOwner), foreign[0], x.asRoot(),
			"%s of evercred here belong to user %d and not to user %d, whose directory it is: nothing is refreshed", plural(len(foreign), "record"), user, owner.UID)
	}
	if len(open) > 0 {
		x.warn("ledger-open", open[0], "evercred doctor --fix", "%s of evercred may be read or written by other users", plural(len(open), "record"))
	}
	if len(planted) > 0 {
		x.bad("ledger-planted", planted[0], "look who put it there, and remove it", "%s among the records of evercred is not of its making", plural(len(planted), "thing"))
	}
}

// remembered tells what the records say.
func (x *examination) remembered(book *ledger.Ledger) {
	m, err := book.Memory()
	if err == nil {
		_, err = book.Attempts() // which looks at the version of the whole
	}
	var newer *ledger.NewerError
	switch {
	case errors.As(err, &newer):
		x.bad(string(evercred.ReasonNewerLedger), newer.Path, x.app.remedy(evercred.ReasonNewerLedger), "a newer evercred keeps the records in format %d, this one knows format %d: nothing is refreshed", newer.Have, newer.Know)
		return
	case errors.Is(err, fs.ErrPermission):
		return // whose they are was told
	case err != nil:
		x.bad(string(evercred.ReasonUnreadable), book.Path(), "look at the disk", "the records of evercred cannot be read: %v", err)
		return
	case m.Corrupt:
		x.warn("ledger-corrupt", book.Path(), "nothing: the next refresh writes it anew", "what evercred remembered of this login cannot be understood")
	}
	x.memory(m)
	x.attempts(book)
	x.history(book)
}

// memory tells what holds refreshing up (DESIGN §6.2, §6.12). What was
// remembered of another refresh token than the stored one is void.
func (x *examination) memory(m ledger.Memory) {
	now, reason := x.Clock.Now(), reasonOf(x.status.Err)
	current := m.Print != "" && m.Print == x.status.Refresh
	if c := m.Cooldown; current && c != nil && now.Before(c.Until) {
		x.warn(c.Reason, "", x.app.remedy(evercred.Reason(c.Reason)), "refreshing rests and may go on %s: %s", x.app.moment(c.Until), c.What)
	}
	if c := m.Refused; current && c != nil && now.Before(c.Until) {
		x.warn(string(evercred.ReasonAPIRefuses), "", x.app.remedy(evercred.ReasonAPIRefuses), "the API refuses fresh tokens; the next one is asked for %s", x.app.moment(c.Until))
	}
	if d := m.Dead; current && d != nil {
		x.bad(d.Reason, "", x.app.remedy(evercred.Reason(d.Reason)), "the endpoint refused the refresh token for good %s", x.app.moment(d.At))
	}
	if slices.Contains(m.Spent, x.status.Refresh) && reason != evercred.ReasonOlderCopy && x.status.Ledger.Escrow == 0 {
		x.bad(string(evercred.ReasonOlderCopy), "", x.app.remedy(evercred.ReasonOlderCopy), "the file went back to an older copy: its refresh token was already used")
	}
	if g := m.Granted; g != nil && g.At.Sub(now) > time.Minute {
		x.warn("clock", "", "set the clock of this machine; tokens are judged by it", "the last grant lies %s in the future: the clock was or is wrong", relative(g.At.Sub(now)))
	}
}

// attempts tells of refreshes that did not end. While somebody is refreshing,
// theirs is one of them.
func (x *examination) attempts(book *ledger.Ledger) {
	if _, held, err := book.Holder(); err != nil || held {
		return
	}
	records, err := book.Attempts()
	if err != nil {
		return
	}
	for _, r := range records {
		sent, ok := r.Sent()
		switch {
		case r.Corrupt():
			x.warn("attempt-corrupt", book.Path(), "nothing: the next refresh closes it", "the record of a refresh cannot be understood")
		case r.HasAnswer():
			x.warn("escrow", book.Path(), "evercred refresh, which saves it without asking again", "the answer to the refresh of %s waits to be saved: its process ended too early", sent.Local().Format(time.DateTime))
		case ok:
			x.warn("unanswered", book.Path(), "evercred refresh, which asks again in the safest way", "the refresh of %s has no known outcome: its process ended before the answer came", sent.Local().Format(time.DateTime))
		}
	}
	if staged := x.staged(book); len(staged) > 0 {
		x.warn("staged", staged[0], "evercred doctor --fix; or nothing: the next refresh removes it", "an interrupted refresh left %s", plural(len(staged), "temporary file"))
	}
}

// staged are the paths of what was prepared.
func (x *examination) staged(book *ledger.Ledger) []string {
	names, _ := x.FS.ReadDir(book.Path()) // what cannot be listed was told
	var staged []string
	for _, name := range names {
		if isStaged(name) {
			staged = append(staged, filepath.Join(book.Path(), name))
		}
	}
	return staged
}

// history tells of answers that were lost, since a login that dies later died of
// one of them.
func (x *examination) history(book *ledger.Ledger) {
	past, err := book.History()
	if err != nil {
		return
	}
	past = slices.DeleteFunc(past, func(c ledger.Closed) bool { return c.Reason != "lost" })
	if len(past) == 0 {
		return
	}
	last := past[len(past)-1]
	at := last.Sent
	if at.IsZero() {
		at = last.At
	}
	x.warn(string(evercred.ReasonLostAnswer), book.Path(), "look what ends processes or connections in the middle of a refresh", "%s lost in the last 30 days, the last one %s", were(len(past)), x.app.moment(at))
}

func were(n int) string {
	if n == 1 {
		return "1 answer of the token endpoint was"
	}
	return plural(n, "answer") + " of the token endpoint were"
}
