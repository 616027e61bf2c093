package mutants

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/proof/suite"
)

// test is one test of a package, and which mutants it reaches.
type test struct {
	binary *binary
	name   string
	took   time.Duration
}

// binary is the tests of one package, with all mutants built in.
type binary struct {
	pkg, dir, path string
	tests          []*test
}

// hunter knows which tests may find a mutant.
type hunter struct {
	r        *suite.Run
	binaries []*binary
	reach    map[int][]*test
}

// Bounds on one mutant. A mutant that only a slower test could find counts as
// not found.
const (
	quick  = 100 * time.Millisecond // tests up to here are asked first
	budget = 8 * time.Second        // of tests, as long as they take without a mutant
	grace  = 10 * time.Second       // beyond that, until a mutant counts as found by hanging
)

// build compiles the tests of the subjects.
func (h *hunter) build(p *program, of []subject) error {
	for i, s := range of {
		b := &binary{pkg: s.path(), dir: filepath.Join(h.r.Module, s.dir), path: filepath.Join(h.r.Dir, fmt.Sprint("mutants", i, ".test"))}
		if _, err := goTool(h.r, "test", "-c", "-vet=off", "-overlay="+p.overlay, "-o", b.path, "./"+s.dir); err != nil {
			return err
		}
		h.binaries = append(h.binaries, b)
	}
	return nil
}

// elapsed is what a test says of its own time; the program's start is not in it.
var elapsed = regexp.MustCompile(`(?m)^--- PASS: \S+ \((.*)\)$`)

// learn runs every test alone, to see which mutants it reaches and how long it
// takes. A test that fails here would find every mutant, so it ends the suite.
func (h *hunter) learn() error {
	h.reach = map[int][]*test{}
	var all []*test
	for _, b := range h.binaries {
		out, err := h.command(h.r.Context(), b.path, b, "-test.list=.").Output()
		if err != nil {
			return fmt.Errorf("list the tests of %s: %w", b.pkg, err)
		}
		for _, name := range strings.Fields(string(out)) {
			if !strings.HasPrefix(name, "Benchmark") {
				b.tests = append(b.tests, &test{binary: b, name: name})
			}
		}
		all = append(all, b.tests...)
	}
	var mu sync.Mutex
	return each(h.r, all, func(den string, t *test) error {
		reached := filepath.Join(den, "reached")
		if err := os.WriteFile(reached, nil, 0o600); err != nil {
			return err
		}
		defer os.Remove(reached)
		failed, how := h.run(den, 0, t.binary, []*test{t}, time.Minute)
		if m := elapsed.FindStringSubmatch(how); m != nil {
			t.took, _ = time.ParseDuration(m[1])
		}
		b, err := os.ReadFile(reached)
		if failed && len(b) > 0 {
			return fmt.Errorf("%s of %s fails without any mutant: %s", t.name, t.binary.pkg, how)
		}
		mu.Lock()
		defer mu.Unlock()
		seen := map[int]bool{} // children note it as well
		for _, f := range strings.Fields(string(b)) {
			if id, _ := strconv.Atoi(f); !seen[id] {
				seen[id] = true
				h.reach[id] = append(h.reach[id], t)
			}
		}
		return err
	})
}

// hunt runs the tests that reach a mutant until one of them fails.
func (h *hunter) hunt(den string, m Mutant) (found bool, by string) {
	tests := slices.Clone(h.reach[m.ID])
	// Its own package's tests first, then those of others; the quick ones first.
	class := func(t *test) int {
		c := 10 + slices.Index(h.binaries, t.binary)
		if t.took > quick {
			c += 100
		}
		if t.binary.pkg == m.Package {
			c /= 100
		}
		return c
	}
	slices.SortFunc(tests, func(a, b *test) int {
		return cmp.Or(class(a)-class(b), cmp.Compare(a.took, b.took), strings.Compare(a.name, b.name))
	})
	var spent time.Duration
	for len(tests) > 0 {
		n, took := 0, time.Duration(0)
		for n < len(tests) && class(tests[n]) == class(tests[0]) && spent+took < budget {
			took += tests[n].took
			n++
		}
		if n == 0 {
			break
		}
		if found, by := h.run(den, m.ID, tests[0].binary, tests[:n], 3*took+grace); found {
			return true, by
		}
		spent += took
		tests = tests[n:]
	}
	return false, "not found"
}

// run runs tests with one mutant on (0: none); found: one of them failed.
func (h *hunter) run(den string, id int, b *binary, tests []*test, limit time.Duration) (found bool, how string) {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.name
	}
	program := filepath.Join(den, filepath.Base(b.path))
	if _, err := os.Stat(program); err != nil {
		if err := os.Link(b.path, program); err != nil {
			return true, err.Error()
		}
	}
	if err := os.WriteFile(filepath.Join(den, "mutant"), []byte(strconv.Itoa(id)), 0o644); err != nil {
		return true, err.Error()
	}
	tmp := filepath.Join(den, "tmp")
	_ = os.MkdirAll(tmp, 0o755)
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(h.r.Context(), limit)
	defer cancel()
	pattern := "^(" + strings.Join(names, "|") + ")$"
	cmd := h.command(ctx, program, b, "-test.run="+pattern, "-test.failfast", "-test.v")
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	leash(cmd)
	out, err := cmd.CombinedOutput()
	unleash(cmd)
	switch {
	case ctx.Err() != nil:
		return true, "found by hanging"
	case err != nil:
		return true, "found by a test\n" + string(out)
	}
	return false, string(out)
}

// command is a test program in bounds: a mutant may eat memory and disk.
func (h *hunter) command(ctx context.Context, program string, b *binary, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `ulimit -v 8000000; ulimit -f 400000; exec "$0" "$@"`, program}, args...)...)
	cmd.Dir, cmd.Env = b.dir, suite.Env(h.r.Dir)
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// each calls do for all of what, on every core; a den is a directory that one
// call has to itself.
func each[T any](r *suite.Run, what []T, do func(den string, t T) error) error {
	next := make(chan T)
	ctx, stop := context.WithCancelCause(r.Context())
	defer stop(nil)
	var group sync.WaitGroup
	for range runtime.NumCPU() {
		den, err := r.Temp()
		if err == nil { // tests have children that are other users
			err = errors.Join(os.Chmod(den, 0o755), os.Chmod(r.Dir, 0o755))
		}
		if err != nil {
			return err
		}
		group.Go(func() {
			for t := range next {
				if err := do(den, t); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, t := range what {
		select {
		case next <- t:
		case <-ctx.Done():
		}
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}
