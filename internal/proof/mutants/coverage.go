package mutants

import (
	"bufio"
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evercred/evercred/internal/proof/suite"
)

// block is a run of statements as `go test -coverprofile` counts them.
type block struct {
	file       string // relative to the module
	line       int
	statements int
	at         string // line.column,line.column
}

// coverage runs the subjects' tests, each over all subjects, and notes every
// statement that none of them reaches. Files of other systems are not built,
// and so are not asked for.
func coverage(r *suite.Run) error {
	profile := filepath.Join(r.Dir, "cover")
	var over, dirs []string
	for _, s := range subjects {
		over, dirs = append(over, s.path()), append(dirs, "./"+s.dir)
	}
	// TestArrowsPointDownOnly is of the sources, and runs none of them.
	args := []string{"test", "-vet=off", "-skip=^TestArrows", "-coverpkg=" + strings.Join(over, ","), "-coverprofile=" + profile}
	if r.Overlay != "" {
		args = append(args, "-overlay="+r.Overlay)
	}
	if _, err := goTool(r, append(args, dirs...)...); err != nil {
		return err
	}
	reached, err := readProfile(profile)
	if err != nil {
		return err
	}
	excuses, err := listing(unreachable)
	if err != nil {
		return err
	}
	all, covered, excused := 0, 0, 0
	for b, n := range reached {
		all += b.statements
		switch what := b.where(r); {
		case n > 0:
			covered += b.statements
		case excuses[what] != "":
			excused += b.statements
		default:
			r.Violation("coverage", "no test reaches line %d, %d statements: %s", b.line, b.statements, what)
		}
	}
	r.SawMany("statements", "reached by a test", covered)
	r.SawMany("statements", "not reached, and why is written down", excused)
	r.Figure("statements", all)
	r.Figure("statements reached", covered)
	r.Figure("statements excused", excused)
	r.Gate(covered+excused == all, "every statement of transaction, lock, durable save and escrow is reached by a test, but for %d that are excused one by one", excused)
	return nil
}

// readProfile adds up what all tests reached.
func readProfile(path string) (map[block]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reached := map[block]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var at string
		var statements, n int
		if _, err := fmt.Sscanf(s.Text(), "%s %d %d", &at, &statements, &n); err != nil {
			continue // the first line
		}
		name, where, _ := strings.Cut(strings.TrimPrefix(at, module+"/"), ":")
		i := slices.IndexFunc(subjects, func(s subject) bool { return s.dir == filepath.Dir(name) })
		if i < 0 || !subjects[i].has(filepath.Base(name)) {
			continue
		}
		b := block{file: name, statements: statements, at: where}
		fmt.Sscanf(where, "%d", &b.line)
		reached[b] += n
	}
	return reached, nil
}

// where is the file, the function, and the line with which a block begins.
func (b block) where(r *suite.Run) string {
	text, err := os.ReadFile(filepath.Join(r.Module, b.file))
	if err != nil {
		return err.Error()
	}
	function, first := "", ""
	for i, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "func "); ok && i < b.line {
			if strings.HasPrefix(rest, "(") {
				_, rest, _ = strings.Cut(rest, ") ")
			}
			function, _, _ = strings.Cut(rest, "(")
		}
		if i == b.line-1 {
			first = strings.TrimSpace(line)
		}
	}
	return b.file + " " + function + " " + first
}

// unreachable has a line "file function first-line => why" for what no test can reach;
// equivalent one "file function operator text => why" for each mutant that does
// what the original does.
var (
	//go:embed unreachable.txt
	unreachable string
	//go:embed equivalent.txt
	equivalent string
)

// listing reads such a list. Nothing is excused without a reason.
func listing(text string) (map[string]string, error) {
	reasons := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		what, why, ok := strings.Cut(line, " => ")
		if !ok || cmp.Or(what, why) == "" {
			return nil, fmt.Errorf("%q is not WHAT => WHY", line)
		}
		reasons[what] = why
	}
	return reasons, nil
}
