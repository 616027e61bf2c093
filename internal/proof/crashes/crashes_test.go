package crashes

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// TestCrashes is the suite's worker, and a small run of it as a test.
func TestCrashes(t *testing.T) {
	job := Job{N: 200, Seed: 1, Shards: 1}
	if text := os.Getenv(jobVar); text != "" {
		if err := json.Unmarshal([]byte(text), &job); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &director{t: t, job: job, place: place{dir: filepath.Join(dir, "claude")}}
	if err := os.Mkdir(d.place.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenes() {
		if strings.HasPrefix(job.Only, s.name) || strings.HasPrefix(s.name, job.Only) {
			d.play(s)
		}
	}
	d.say(Line{Points: d.points, Whole: d.whole})
}

// director plays the scenes and cuts them short.
type director struct {
	t      *testing.T
	job    Job
	place  place
	points int // crash points: operations of all lives, before and after
	whole  int // those of them of which every legal subset was tried
}

// bubble runs f with a clock of its own.
func (d *director) bubble(f func()) { synctest.Test(d.t, func(*testing.T) { f() }) }

// play plays one scene: once to its end, and then once for each chosen crash.
func (d *director) play(s scene) {
	var log journal
	d.place.split = s.split
	d.bubble(func() {
		w := s.begin(d.place)
		m := start(w, d.place, s.how)
		defer m.close()
		p := m.process()
		s.live(p)
		log = p.log
	})
	// Half of the crashes are those of the first process, half those of the
	// process that cleans up after it.
	share := d.job.N / len(scenes()) / 2
	once := spread(d.crashes(s, &log, crash{name: s.name}, 8*share), share)
	nested := max(1, share/8) // of the crashes, in so many the next process crashes too
	every := max(1, len(once)/nested)
	for i, c := range once {
		both := i%every == 0 && s.after == ""
		if both && !d.mine(i/every) || !both && !d.mine(i) || !d.wanted(c.name) {
			continue
		}
		next := d.judge(s, c)
		if !both {
			continue
		}
		for _, c := range spread(d.crashes(s, next, c, 4*share/nested), share/nested) {
			if d.wanted(c.name) {
				d.judge(s, c)
			}
		}
	}
}

func (d *director) mine(i int) bool { return i%d.job.Shards == d.job.Shard }

// wanted: the case is to be played, or another that begins with it. The
// beginning of a name stands for all that begin so.
func (d *director) wanted(name string) bool {
	return strings.HasPrefix(name, d.job.Only) || strings.HasPrefix(d.job.Only, name+then)
}

const then = ", then "

// crashes lists the worlds that a journal can be cut short to, each once. limit
// is about how many shall be listed.
func (d *director) crashes(s scene, log *journal, before crash, limit int) (list []crash) {
	kill, power := log.windows()
	seen := map[string]bool{}
	name := before.name + then
	if before.build == nil {
		name = s.name + ": "
		d.points += 2 * len(log.ops)
	}
	add := func(c crash) {
		w := c.build()
		heard := 0
		for _, s := range w.sends {
			heard += 1 + s.heard
		}
		sum := w.disk.sum()
		key := fmt.Sprint(string(sum[:]), len(w.sends), heard, w.boots, c.excusable)
		if seen[key] {
			return
		}
		seen[key] = true
		c.name = name + c.name
		c.sent, c.excusable, c.depth = c.sent || before.sent, c.excusable || before.excusable, before.depth+1
		if s.after != "blank" || c.sent {
			list = append(list, c)
		}
	}
	moments := 1
	for _, o := range log.ops {
		if !o.idle() {
			moments++
		}
	}
	sent := false
	for k := range len(log.ops) + 1 {
		sent = sent || k > 0 && log.ops[k-1].wire.sent != nil
		at := log.name(k)
		for n := 1; n < log.pages(k); n++ {
			add(crash{name: fmt.Sprintf("killed at %s, amid the next, page %d", at, n), sent: sent, excusable: kill[k], always: true,
				build: func() world { return log.amid(k, n) }})
		}
		if k > 0 && log.ops[k-1].idle() {
			continue // the same as a moment before
		}
		left := k > 0 && log.ops[k-1].wire.sent != nil // the request, a moment ago
		add(crash{name: "killed at " + at, sent: sent, excusable: kill[k], always: left,
			build: func() world { return log.killed(k) }})
		_, open := log.pending(k)
		sets, all := cuts(len(open), max(4, limit/moments), d.chance(fmt.Sprint(name, k)))
		if all && before.build == nil {
			d.whole++
		}
		for i, keep := range sets {
			add(crash{name: fmt.Sprintf("power cut at %s, subset %d", at, i), sent: sent, excusable: power[k], power: true,
				build: func() world { return log.cut(k, keep) }})
		}
		if left { // and it never arrived
			add(crash{name: "killed at " + at + ", undelivered", excusable: true, always: true,
				build: func() world { return undelivered(log.killed(k)) }})
		}
	}
	return list
}

func undelivered(w world) world {
	w.sends = w.sends[:len(w.sends)-1]
	return w
}

// chance is the same for the same seed and name.
func (d *director) chance(name string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, name)
	return rand.New(rand.NewPCG(d.job.Seed, h.Sum64()))
}

// spread takes about n of a list: those that always count, and others evenly.
func spread(list []crash, n int) (some []crash) {
	for i, c := range list {
		if c.always || len(list) <= n || i*n/len(list) != (i+1)*n/len(list) {
			some = append(some, c)
		}
	}
	return some
}

// judge plays what follows a crash, and says what came of it. It returns what
// the next process did.
func (d *director) judge(s scene, c crash) *journal {
	var f findings
	d.bubble(func() {
		c.world = c.build()
		f = s.aftermath(c, d.place)
	})
	if strings.HasPrefix(c.name, d.job.Only) {
		d.say(Line{Case: c.name, Fault: s.fault(c), Outcome: f.outcome, Wrong: strings.Join(f.wrong, "; ")})
	}
	return f.next
}

// fault is the row of the public table.
func (s scene) fault(c crash) string {
	what, when := "killed", "before the request left"
	if c.power {
		what = "power cut"
	}
	switch {
	case c.excusable:
		when = "while the answer was on its way"
	case c.sent:
		when = "after the answer was durable"
	}
	if c.depth > 1 {
		when = "again, in the recovery"
	}
	if s.after != "" {
		when += "; " + s.name
	}
	if s.inPlace {
		when += "; written in place"
	}
	return what + " " + when
}

func (d *director) say(l Line) {
	b, _ := json.Marshal(l)
	if l.Wrong != "" && os.Getenv(jobVar) == "" {
		d.t.Errorf("%s: %s", l.Case, l.Wrong)
	}
	if os.Getenv(jobVar) != "" {
		fmt.Printf("%s\n", b)
	}
}
