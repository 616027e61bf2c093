//go:build unix

package ledger

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

// script is what an operation did to the disk, as far as order matters, with
// names shortened to their kinds.
func script(disk *faulty.FS, l *Ledger) string {
	var steps []string
	for _, c := range disk.Calls() {
		switch op := strings.TrimPrefix(c.Op, "File."); op {
		case "Write", "WriteAt", "Sync", "Datasync", "Rename", "RenameNoReplace", "Remove", "Mkdir":
			steps = append(steps, op+" "+kind(l, c.Path))
		}
	}
	disk.Reset()
	return strings.Join(steps, ", ")
}

func kind(l *Ledger, path string) string {
	name := filepath.Base(path)
	switch {
	case path == l.dir:
		return "dir"
	case strings.HasPrefix(name, stagePrefix):
		return "tmp"
	case strings.HasPrefix(name, attemptPrefix):
		return filepath.Ext(name)[1:]
	}
	return name
}

// TestOrderOfSyncs: what the next step relies on is on disk before it (F8). A
// file system that forgets what was not synced is the proof's (T3, T5).
func TestOrderOfSyncs(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(quick(t), "doc", on(disk))
	g := hold(t, l)
	expect := func(what, want string) {
		t.Helper()
		if got := script(disk, l); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	const replace = "WriteAt tmp, Datasync tmp, Rename "
	expect("TryGuard", "Mkdir .evercred, Mkdir doc, Sync dir, "+replace+".gitignore, "+replace+
		"VERSION, Sync .evercred, RenameNoReplace guard, WriteAt tmp, Rename holder")
	must(t, g.SetMemory(Memory{Cooldown: &Cooldown{Count: 1}}))
	expect("a cooldown", replace+"memory")
	for _, m := range []Memory{
		{Dead: &Dead{}}, {Spent: []string{"s"}}, {Granted: &Granted{}}, {Unanswered: &Unanswered{}}, {},
	} {
		must(t, g.SetMemory(m))
		expect("SetMemory", replace+"memory, Sync doc")
	}
	r, err := g.Begin(Intent{})
	must(t, err)
	expect("Begin", "WriteAt open, Sync open, Sync doc")
	must(t, r.MarkSending(time.Unix(1, 0)))
	must(t, r.Append([]byte("x")))
	expect("a mark and a piece", "WriteAt open, WriteAt open")
	must(t, r.Finish(time.Unix(2, 0)))
	expect("Finish", "WriteAt open, Datasync open")
	must(t, r.Close("saved", "", time.Unix(3, 0)))
	expect("Close", replace+"closed, Sync doc, Remove open, Sync doc")
	must(t, g.SetRedo([]byte("old"), []byte("new")))
	expect("SetRedo", replace+"redo, Sync doc")
	must(t, g.ClearRedo())
	expect("ClearRedo", "Remove redo, Sync doc")
	must(t, g.ClearRedo())
	expect("ClearRedo of none", "Remove redo")
	must(t, g.Release())
	expect("Release", "WriteAt tmp, Rename holder")
	must(t, hold(t, l).Release())
	if got := script(disk, l); slices.Contains(strings.Split(got, ", "), "Sync dir") {
		t.Errorf("the second tenure makes the folder anew: %s", got)
	}
}
