// Package fuzzing runs every fuzz target of the module (T13), from the corpora
// that are kept in testdata/fuzz beside them. A target says in its comment what
// must hold; that of the editor, for one: every byte outside our members is the
// same.
package fuzzing

import (
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

// Suite is T13.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T13", Name: "fuzzing",
		About: "Every reader and the editor against made-up bytes: documents, answers, escrow, holder lines, lock times, Retry-After, the output of the keychain program.",
		Unit:  "seconds a target",
		Sizes: suite.Sizes{Smoke: 2, CI: 30, Full: 30},
		Run:   run,
		Tried: inputs,
		Controls: []suite.Control{
			{
				Rule:  "the editor resolves no escapes in names",
				Edits: []suite.Edit{{File: "internal/jsonedit/value.go", Old: `if plain(raw) {`, New: `if utf8.Valid(raw) {`}},
				Only:  "internal/jsonedit.FuzzEdit",
			},
			{
				Rule:  "the editor replaces the first of duplicates",
				Edits: []suite.Edit{{File: "internal/jsonedit/value.go", Old: "			found = m\n", New: "			return m\n"}},
				Only:  "internal/jsonedit.FuzzEdit",
			},
			{
				Rule:  "no checksum of the escrow's frames",
				Edits: []suite.Edit{{File: "internal/ledger/frame.go", Old: "|| binary.LittleEndian.Uint32(b[body:]) != crc32.ChecksumIEEE(b[:body]) {", New: "{"}},
				Only:  "internal/ledger.FuzzAttemptFile",
			},
			{
				Rule:  "a lock is known again without its random part",
				Edits: []suite.Edit{{File: "internal/dirlock/line.go", Old: "return part == random || part == random-random%100 || part == random-random%1000", New: "_ = random\n	return true"}},
				Only:  "internal/dirlock.FuzzLeft",
			},
			{
				Rule:  "Retry-After without a bound",
				Edits: []suite.Edit{{File: "grant/parse.go", Old: "time.Duration(min(n, century)) * time.Second", New: "time.Duration(min(n, 2*century)) * time.Second"}},
				Only:  "grant.FuzzRetryAfter",
			},
			{
				Rule:  "JSON that looks like digits is decoded",
				Edits: []suite.Edit{{File: "keychain/tool.go", Old: "len(text)%2 == 0 && !json.Valid(text)", New: "len(text)%2 == 0 && (json.Valid(text) || true)"}},
				Only:  "keychain.FuzzOutput",
			},
		},
	}
}

// harmless is the outcome of an input that broke nothing.
const harmless = "promise kept"

// inputs are what was tried: asked for are seconds.
func inputs(r *suite.Record) (n int, unit string) {
	for _, c := range r.Cases {
		if c.Outcome == harmless {
			n += c.Count
		}
	}
	return n, "inputs"
}

// target is one fuzz target.
type target struct {
	dir, name string // the package's directory, relative to the module
}

func (t target) String() string { return t.dir + "." + t.name }

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(f \*testing\.F\)`)

// targets are all of the module's own.
func targets(module string) ([]target, error) {
	var all []target
	err := filepath.WalkDir(module, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != module && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "proof"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(module, filepath.Dir(path))
		for _, m := range declared.FindAllSubmatch(text, -1) {
			all = append(all, target{filepath.ToSlash(dir), string(m[1])})
		}
		return err
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

func run(r *suite.Run) error {
	all, err := targets(r.Module)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t target) bool { return !r.Wanted(t.String()) })
	if len(all) == 0 {
		return fmt.Errorf("there is no target %q", r.Only)
	}
	programs := map[string]string{}
	for _, t := range all {
		if programs[t.dir] == "" {
			programs[t.dir] = filepath.Join(r.Dir, fmt.Sprint(len(programs), ".test"))
			if err := build(r, t.dir, programs[t.dir]); err != nil {
				return err
			}
		}
	}
	next := make(chan target)
	var group sync.WaitGroup
	var mu sync.Mutex
	done, kept := 0, 0
	execs := map[string]int{}
	var failed error
	for range runtime.NumCPU() {
		group.Go(func() {
			for t := range next {
				f, err := fuzz(r, t, programs[t.dir])
				mu.Lock()
				failed = errors.Join(failed, err)
				done++
				kept += f.kept
				execs[t.String()] = f.execs
				mu.Unlock()
				r.Progress(done, t.String())
			}
		})
	}
	for _, t := range all {
		next <- t
	}
	close(next)
	group.Wait()
	r.Figure("targets", len(all))
	r.Figure("inputs kept in testdata/fuzz", kept)
	r.Figure("executions", execs)
	if r.Only == "" {
		r.Gate(kept >= len(all), "every target has a corpus that is kept (%d inputs of %d targets)", kept, len(all))
	}
	return failed
}

// build compiles the tests of a package with what guides the fuzzer.
func build(r *suite.Run, dir, program string) error {
	args := []string{"test", "-c", "-vet=off", "-fuzz=Fuzz", "-o", program}
	if r.Overlay != "" {
		args = append(args, "-overlay="+r.Overlay)
	}
	cmd := exec.CommandContext(r.Context(), "go", append(args, "./"+dir)...)
	cmd.Dir, cmd.Env = r.Module, suite.Env(r.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the fuzz targets of %s: %w\n%s", dir, err, out)
	}
	return nil
}

// fuzzed is what a target did.
type fuzzed struct{ kept, execs, fresh int }

// fuzz runs one target on one core, in a directory of its own with a copy of
// testdata, where the fuzzer leaves an input that broke the promise.
func fuzz(r *suite.Run, t target, program string) (f fuzzed, err error) {
	dir, err := r.Temp()
	if err != nil {
		return f, err
	}
	testdata := filepath.Join(dir, "testdata")
	if err := os.CopyFS(testdata, os.DirFS(filepath.Join(r.Module, t.dir, "testdata"))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	corpus := filepath.Join(testdata, "fuzz", t.name)
	before, _ := filepath.Glob(filepath.Join(corpus, "*"))
	f.kept = len(before)
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(r.N)*time.Second+2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.parallel=1",
		fmt.Sprintf("-test.fuzztime=%ds", r.N), "-test.fuzzminimizetime=20x", "-test.fuzzcachedir="+filepath.Join(dir, "cache"))
	cmd.Dir, cmd.Env = dir, suite.Env(r.Dir, "GOMAXPROCS=1")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	f.execs, f.fresh = figures(string(out))
	if err == nil {
		r.SawMany(t.String(), harmless, f.execs)
		r.SawMany(t.String(), "new and interesting", f.fresh)
		return f, nil
	}
	if r.Context().Err() != nil {
		return f, nil
	}
	text, found := string(out), false
	after, _ := filepath.Glob(filepath.Join(corpus, "*"))
	for _, path := range after {
		if b, err := os.ReadFile(path); err == nil && !slices.Contains(before, path) {
			text += "\n" + string(b) // to be put into testdata/fuzz
			found = true
		}
	}
	if !found && strings.Contains(text, "context deadline exceeded") { // the fuzzer's own, at the end of its time
		r.SawMany(t.String(), harmless, f.execs)
		return f, nil
	}
	r.Violation(t.String(), "%s", tail(strings.TrimSpace(noise.ReplaceAllString(text, "")), 3000))
	return f, nil
}

// noise is what the fuzzer says of itself, before what the test says.
var noise = regexp.MustCompile(`(?m)^(fuzz: .*|failure while testing seed corpus entry: .*| *--- FAIL: .*)\n`)

var said = regexp.MustCompile(`execs: (\d+) \(.*new interesting: (\d+)`)

// figures are what the fuzzer counted last.
func figures(out string) (execs, fresh int) {
	all := said.FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return 0, 0
	}
	last := all[len(all)-1]
	execs, _ = strconv.Atoi(last[1])
	fresh, _ = strconv.Atoi(last[2])
	return execs, fresh
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
