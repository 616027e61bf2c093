package partner

import (
	"fmt"
	"time"
)

// What a round may show. Our critical section begins when the check before the
// first byte of the grant has passed and ends when the check before the save
// begins; the partner's is from its lock to its release. A section of a holder
// that was stopped for longer than the stale age ends when it was stopped: the
// protocol gives its locks to others, and no lock could tell it in time.
//
// proper-lockfile frees and takes over by an unchecked rmdir (INTEROP §3). So a
// partner that another partner has robbed walks on without a lock, and its
// release may remove the lock of somebody else: ours too, in the middle of our
// section. Nobody can prevent that; what counts then is that the check before
// the save sees it. Such overlaps are the partner's own, and noted apart. The
// custody of every directory, by inode and time of birth, tells them from ours.

// custody is who removed which directory.
type custody map[string]removed

type removed struct {
	removal
	by *actor
}

// verdict is what came of a round.
type verdict struct {
	wrong   []string
	excused string // an overlap that is the partner's own
	between int    // overlaps among partners
}

// judge compares what all contenders of a round did. stall is how long a partner
// may take from its look at a lock to its rmdir; what is slower than our
// settling cannot be waited for.
func judge(actors []*actor, stall time.Duration) (v verdict) {
	gone := custody{}
	for _, a := range actors {
		for _, x := range a.result.Removed {
			gone[x.Key] = removed{x, a}
		}
	}
	for i, a := range actors {
		if a.ours {
			v.wrong = append(v.wrong, a.alone(gone)...)
		}
		for _, b := range actors[i+1:] {
			switch {
			case a.ours && b.ours:
				if x, y := a.result, b.result; x.Unguarded > y.Guarded && y.Unguarded > x.Guarded && x.Guarded > 0 && y.Guarded > 0 {
					v.wrong = append(v.wrong, fmt.Sprintf("%s and %s had the guard at once", a.name, b.name))
				}
				if overlap(a, b) {
					v.wrong = append(v.wrong, fmt.Sprintf("%s and %s were in their sections at once", a.name, b.name))
				}
			case a.ours || b.ours:
				us, them := a, b
				if b.ours {
					us, them = b, a
				}
				v.beside(us, them, gone, stall)
			case overlap(a, b):
				v.between++
			}
		}
	}
	return v
}

// alone is what one of ours did wrong whatever the others did.
func (a *actor) alone(gone custody) (wrong []string) {
	r := a.result
	if r.Err != "" {
		wrong = append(wrong, a.name+": "+r.Err)
	}
	for _, x := range r.Removed {
		if isLock(x.Path, a.paths) && !r.Made[x.Key] {
			wrong = append(wrong, fmt.Sprintf("%s removed %s, which was not its own", a.name, x.Path))
		}
	}
	if !r.Entered {
		return wrong
	}
	for path, key := range r.Keys {
		x, ok := gone[key]
		if ok && x.by != a && x.Done < r.Checked {
			wrong = append(wrong, fmt.Sprintf("%s: its check did not see that %s was gone", a.name, path))
		}
		if ok && x.by != a && x.Done < r.Asked && r.Second == "" {
			wrong = append(wrong, fmt.Sprintf("%s: the check before the save did not see that %s was gone", a.name, path))
		}
	}
	return wrong
}

func isLock(path string, locks []string) bool {
	for _, l := range locks {
		if path == l {
			return true
		}
	}
	return false
}

// beside judges one of ours and one partner.
func (v *verdict) beside(us, them *actor, gone custody, stall time.Duration) {
	if !them.killed && them.stopped == 0 {
		for path, key := range them.result.Keys {
			if us.result.Made[key] {
				v.wrong = append(v.wrong, fmt.Sprintf("%s took %s over from %s, which was alive", us.name, path, them.name))
			}
		}
	}
	if !overlap(us, them) {
		return
	}
	for _, path := range them.paths {
		why := gone.excuse(path, us, them, stall)
		if why == "" {
			v.wrong = append(v.wrong, fmt.Sprintf("%s and %s were in their sections at once, by %s", us.name, them.name, path))
			return
		}
		v.excused = why
	}
}

// excuse says why an overlap is the partner's own, as far as one lock goes.
func (c custody) excuse(path string, us, them *actor, stall time.Duration) string {
	if x, ok := c[us.result.Keys[path]]; ok && !x.by.ours {
		if x.Release {
			return "robbed by the release of a partner that held no lock"
		}
		if x.Done-x.Seen > int64(stall) {
			return "robbed by a partner that stood still for longer than the settling"
		}
	}
	x, ok := c[them.result.Keys[path]]
	if ok && !x.by.ours && x.by != them && x.At < us.result.Enter {
		return "beside a partner that another partner had robbed"
	}
	return ""
}

// overlap of critical sections.
func overlap(a, b *actor) bool {
	return a.result.Entered && b.result.Entered && a.result.Enter < b.end() && b.result.Enter < a.end()
}

func (a *actor) end() int64 {
	if a.stopped > a.result.Checked { // not before the check, which tells it
		return min(a.stopped, a.result.Leave)
	}
	return a.result.Leave
}
