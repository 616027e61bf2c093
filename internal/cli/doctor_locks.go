package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/dirlock"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/owner/claudecode"
	"github.com/evercred/evercred/sources"
)

// A beat comes every 5 s (INTEROP §3); a lock that missed one is still young.
const young = 10 * time.Second

// ownersLock is one of the locks of Claude Code, and what it means that none can
// be made.
type ownersLock struct {
	path     string
	stale    time.Duration
	level    level
	hindered string
}

func (x *examination) ownersLocks() []ownersLock {
	if x.near == "" || x.login.kind() == sources.Profile { // its owners take none
		return nil
	}
	refresh, write := claudecode.LockPaths(filepath.Dir(x.near))
	return []ownersLock{
		{refresh[0], x.Times.StaleAge, levelBad, "so nothing can be refreshed"},
		{refresh[1], x.Times.StaleAge, levelWarn, "so evercred goes on with the first lock alone, as Claude Code does; versions up to 2.0.77 know only this one"},
		{write, x.Times.StaleAgeWrite, levelBad, "so nothing can be saved"},
	}
}

// firstSight notes the locks as they stand, so that a beat until the second
// look is noticed.
func (x *examination) firstSight() {
	x.seen = map[string]fsys.Info{}
	for _, l := range x.ownersLocks() {
		if i, err := x.FS.Lstat(l.path); err == nil {
			x.seen[l.path] = i
		}
	}
}

// locks looks at each of the owner's locks and at our guard (FAILURES L1 to L6).
func (x *examination) locks() {
	found, locks := len(x.findings), x.ownersLocks()
	if len(locks) == 0 {
		return
	}
	for _, l := range locks {
		x.lock(l)
	}
	x.second()
	if len(x.findings) == found {
		x.ok("lock", "", "the three locks of Claude Code are free")
	}
}

// holders tells who refreshes now.
func (x *examination) holders() {
	for _, book := range x.folders() {
		h, held, err := book.Holder()
		if err == nil && held {
			x.holder(h, book.Path())
		}
	}
}

func (x *examination) holder(h ledger.Holder, path string) {
	age := x.Clock.Now().Sub(h.Since)
	switch {
	case h.ID.PID == 0:
		x.ok("guard", path, "a process of evercred is just beginning to refresh")
	case age > 2*x.Times.Answer:
		x.warn("guard", path, fmt.Sprintf("look what process %d waits for", h.ID.PID), "process %d of evercred has been refreshing for %s", h.ID.PID, relative(age))
	default:
		x.ok("guard", path, "process %d of evercred has been refreshing for %s", h.ID.PID, relative(age))
	}
}

// lock says what stands at the path of one lock.
func (x *examination) lock(l ownersLock) {
	r := dirlock.Inspect(x.FS, x.Clock, l.path)
	switch r.Thing {
	case dirlock.Nothing:
	case dirlock.Directory:
		x.held(l, r)
	case dirlock.Unknown:
		x.find(l.level, string(evercred.ReasonCannotLock), l.path, "let this user search the directory", "a lock of Claude Code cannot be looked at, %s: %v", l.hindered, r.Err)
	default:
		x.find(l.level, "lock-place", l.path, "rm "+quoted(l.path), "a %s stands in the place of a lock, %s", r.Thing, l.hindered)
	}
}

func (x *examination) find(at level, id, where, fix, format string, args ...any) {
	x.findings = append(x.findings, finding{id, at, fmt.Sprintf(format, args...), where, fix})
}

// held judges a lock that stands. Age is a hint; that it beat under our eyes is
// certain.
func (x *examination) held(l ownersLock, r dirlock.Report) {
	rmdir := "if nobody is refreshing: rmdir " + quoted(l.path)
	age := "its time is " + relative(r.Age) + " old"
	if r.Age <= 0 {
		age = "its time is now"
	}
	who := x.whoHolds(l.path, r)
	if names, err := x.FS.ReadDir(l.path); err == nil && len(names) > 0 {
		x.bad("lock-filled", l.path, "look at what is in it; then rm -r "+quoted(l.path), "a lock of Claude Code holds %s: nobody can free it", plural(len(names), "file"))
		return
	}
	switch dead := x.leftBy(l.path); {
	case x.beats(l.path):
		x.ok("lock", l.path, "a lock of Claude Code is held%s; it beats", who)
	case dead != 0:
		x.warn("lock-left", l.path, "nothing: the next refresh takes it over at once", "process %d of evercred died and left a lock of Claude Code, %s", dead, age)
	case r.Age < -time.Second:
		x.bad("lock-future", l.path, rmdir, "a lock of Claude Code%s has a time that lies %s in the future: Claude Code waits for it until then, evercred for a minute", who, relative(r.Age))
	case r.Age <= young:
		x.ok("lock", l.path, "a lock of Claude Code is held%s; %s", who, age)
	case r.UID >= 0 && r.UID != os.Geteuid() && os.Geteuid() != root:
		x.bad("lock-foreign", l.path, "as user "+strconv.Itoa(r.UID)+": rmdir "+quoted(l.path), "a lock of Claude Code belongs to user %d%s, and %s: only that user can free it", r.UID, who, age)
	case r.Remote:
		x.warn("lock-old", l.path, rmdir, "a lock of Claude Code%s lies on a file system whose times mean nothing: evercred takes it over when it has not moved for a minute", who)
	case r.Age <= l.stale:
		x.warn("lock-old", l.path, "wait: it counts as dead when its time is "+relative(l.stale)+" old", "a lock of Claude Code%s does not beat, %s", who, age)
	default:
		x.warn("lock-old", l.path, "nothing: the next refresh takes it over, after watching it for "+relative(x.Times.Watch), "a lock of Claude Code%s was left behind, %s", who, age)
	}
}

// beats reports whether the lock's time has moved since the first sight.
func (x *examination) beats(path string) bool {
	first, ok := x.seen[path]
	now, err := x.FS.Lstat(path)
	return ok && err == nil && first.Ino == now.Ino && !first.ModTime.Equal(now.ModTime)
}

// whoHolds is the hint beside the lock, or our own stamp.
func (x *examination) whoHolds(path string, r dirlock.Report) string {
	if h := x.stampedBy(path); h.ID.PID != 0 {
		return fmt.Sprintf(" by process %d of evercred", h.ID.PID)
	}
	if r.PID != 0 {
		return fmt.Sprintf(", by process %d as the file beside it says", r.PID)
	}
	return ""
}

// leftBy is the process of ours that surely died and whose stamp the lock bears;
// 0: none is known.
func (x *examination) leftBy(path string) int {
	if h := x.stampedBy(path); x.Procs.Dead(h.ID) {
		return h.ID.PID
	}
	return 0
}

// stampedBy is the process of ours whose stamp the lock bears; zero: none.
func (x *examination) stampedBy(path string) ledger.Holder {
	i, err := x.FS.Lstat(path)
	if err != nil {
		return ledger.Holder{}
	}
	bears := func(s ledger.Stamp) bool {
		return s.Path == path && s.Ino == i.Ino && s.Birth.Equal(i.BirthTime) && (s.Time.Equal(i.ModTime) || s.Prev.Equal(i.ModTime))
	}
	for _, book := range x.folders() {
		h := x.holderLine(book)
		for p := &h; p != nil; p = p.Prior {
			if slices.ContainsFunc(p.Stamps, bears) {
				return *p
			}
		}
	}
	return ledger.Holder{}
}

// holderLine is the line beside the guard, also where nobody holds that.
func (x *examination) holderLine(book *ledger.Ledger) (h ledger.Holder) {
	f, err := x.FS.OpenFile(filepath.Join(book.Path(), "holder"), os.O_RDONLY, 0)
	if err != nil {
		return h
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil || json.Unmarshal(b, &h) != nil || h.Version > ledger.FormatVersion {
		return ledger.Holder{}
	}
	return h
}

// second tells that the second lock cannot be made, because it stands in the
// directory above (INTEROP §3.2).
func (x *examination) second() {
	above := filepath.Dir(filepath.Dir(x.near))
	if err := writable(above); err != nil {
		x.warn("second-lock", above, "make that directory writable, unless it is meant to be so",
			"the second lock of Claude Code cannot be made (%s): evercred goes on with the first, as Claude Code does; versions up to 2.0.77 know only the second", causeOf(err))
	}
}

// causeOf leaves out the path, which stands at the end of the line.
func causeOf(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+len(": "):]
}
