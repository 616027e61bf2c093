package suite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// toy makes a command with one suite.
func toy(t *testing.T, size string, run func(*Run) error) (*command, *Suite) {
	t.Helper()
	c := &command{ctx: t.Context(), module: t.TempDir(), progress: newProgress(os.Stderr), size: size, seed: 7, out: t.TempDir()}
	return c, &Suite{ID: "T0", Name: "toy", Unit: "games", Sizes: Sizes{Smoke: 2, CI: 5}, Run: run}
}

func TestRecordOfARun(t *testing.T) {
	c, s := toy(t, Smoke, func(r *Run) error {
		if r.N != 2 || r.Rand("a").Uint64() != r.Rand("a").Uint64() || r.Rand("a").Uint64() == r.Rand("b").Uint64() {
			t.Errorf("n %d, or chance is not that of the seed and the name", r.N)
		}
		r.Saw("fell", "stood up")
		r.Saw("burnt", "gone")
		r.Saw("fell", "stood up")
		r.Figure("height", 3)
		r.Gate(true, "2 games")
		return nil
	})
	if rec := c.one(s); !rec.Passed() || rec.Count() != 3 {
		t.Errorf("%+v", rec)
	}
	all, err := Read(c.out)
	if err != nil || len(all) != 1 || all[0].Cases[0] != (Case{"burnt", "gone", 1}) || all[0].Cases[1].Count != 2 || all[0].Seed != 7 {
		t.Errorf("%+v %v", all, err)
	}
}

func TestWhatFailsARun(t *testing.T) {
	for name, run := range map[string]func(*Run) error{
		"a violation": func(r *Run) error { r.Violation("case 1", "lost"); return nil },
		"a gate":      func(r *Run) error { r.Gate(false, "too few"); return nil },
		"an error":    func(*Run) error { return errors.New("no disk") },
		"a panic":     func(*Run) error { panic("oops") },
	} {
		c, s := toy(t, CI, run)
		if rec := c.one(s); rec.Passed() {
			t.Errorf("%s passes", name)
		}
	}
	c, s := toy(t, CI, func(*Run) error { return nil })
	s.Needs = []Need{tool("no-such-tool-anywhere")}
	rec := c.one(s)
	var all tally
	all.add(rec)
	if all != (tally{skipped: 1}) {
		t.Errorf("%+v: %+v", all, rec)
	}
}

func TestAControlEndsAtItsFirstFind(t *testing.T) {
	c, s := toy(t, InControl, func(r *Run) error {
		for i := range r.N {
			if err := r.Context().Err(); err != nil {
				return err
			}
			if i == 3 {
				r.Violation("game 3", "lost")
			}
		}
		t.Error("went on")
		return nil
	})
	if rec := c.one(s); rec.Violated != 1 || rec.Failure != "" {
		t.Errorf("%+v", rec)
	}
}

func TestOverlayWantsItsTextOnce(t *testing.T) {
	module, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(module, "x.go"), []byte("one two two"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"two", "three"} {
		if _, err := overlay(module, dir, "", []Edit{{"x.go", old, "z"}}); err == nil || !strings.Contains(err.Error(), "x.go") {
			t.Errorf("%q: %v", old, err)
		}
	}
	first, err := overlay(module, filepath.Join(dir, "a"), "", []Edit{{"x.go", "one", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := overlay(module, filepath.Join(dir, "b"), first, []Edit{{"x.go", "two two", "2"}})
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	names, _ := filepath.Glob(filepath.Join(filepath.Dir(second), "*x.go"))
	for _, name := range names {
		b, _ := os.ReadFile(name)
		found += string(b)
	}
	if found != "1 2" {
		t.Errorf("an overlay upon an overlay holds %q", found)
	}
}
