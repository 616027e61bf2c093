package suite

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Record is what a run leaves: docs/proof/ID.json. The tables of the README and
// of docs/proof.md are made from these and from nothing else.
type Record struct {
	Version  int               `json:"version"`
	Suite    string            `json:"suite"`
	Name     string            `json:"name"`
	About    string            `json:"about"`
	Size     string            `json:"size"`
	N        int               `json:"n"`
	Unit     string            `json:"unit"`
	Seed     uint64            `json:"seed"`
	Factor   int               `json:"factor"` // protocol times were shortened by it
	Commit   string            `json:"commit"`
	Kernel   string            `json:"kernel"`
	CPUs     int               `json:"cpus"`
	Versions map[string]string `json:"versions"`
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"`

	Cases    []Case         `json:"cases"`
	Figures  map[string]any `json:"figures,omitempty"`
	Gates    []Gate         `json:"gates,omitempty"`
	Controls []Controlled   `json:"controls,omitempty"`
	Skipped  []string       `json:"skipped,omitempty"`

	Violated   int         `json:"violated"`
	Violations []Violation `json:"violations,omitempty"`
	// Failure is why the run could not be finished; empty: it was.
	Failure string `json:"failure,omitempty"`
}

// Case is how often a fault had an outcome.
type Case struct {
	Fault   string `json:"fault"`
	Outcome string `json:"outcome"`
	Count   int    `json:"count"`
}

// Gate is a condition of PROOF.md.
type Gate struct {
	What string `json:"what"`
	Met  bool   `json:"met"`
}

// Violation is a broken promise.
type Violation struct {
	Case string `json:"case"`
	What string `json:"what"`
}

// Controlled is what a negative control found.
type Controlled struct {
	Rule  string `json:"rule"`
	Found string `json:"found"` // the first violation; empty: none, and so the suite proves nothing about the rule
}

// Passed reports whether everything held.
func (r *Record) Passed() bool {
	return r.Violated == 0 && r.Failure == "" &&
		!slices.ContainsFunc(r.Gates, func(g Gate) bool { return !g.Met }) &&
		!slices.ContainsFunc(r.Controls, func(c Controlled) bool { return c.Found == "" })
}

// Count is how many cases the run saw.
func (r *Record) Count() (n int) {
	for _, c := range r.Cases {
		n += c.Count
	}
	return n
}

func (r *Record) count(fault, outcome string, n int) {
	at, found := slices.BinarySearchFunc(r.Cases, Case{Fault: fault, Outcome: outcome}, func(a, b Case) int {
		if c := strings.Compare(a.Fault, b.Fault); c != 0 {
			return c
		}
		return strings.Compare(a.Outcome, b.Outcome)
	})
	if !found {
		r.Cases = slices.Insert(r.Cases, at, Case{Fault: fault, Outcome: outcome})
	}
	r.Cases[at].Count += n
}

func newRecord(s *Suite, module string) *Record {
	return &Record{
		Version: 1, Suite: s.ID, Name: s.Name, About: s.About, Unit: s.Unit,
		Commit: commit(module), Kernel: kernel(), CPUs: runtime.NumCPU(),
		Versions: map[string]string{"go": runtime.Version()}, Began: time.Now().UTC().Truncate(time.Second),
	}
}

// commit is that of the module, with "+" where files differ from it.
func commit(module string) string {
	git := func(args ...string) string {
		out, _ := exec.Command("git", append([]string{"-C", module}, args...)...).Output()
		return strings.TrimSpace(string(out))
	}
	c := git("rev-parse", "--short=12", "HEAD")
	// The records themselves do not count: the suites write them one after the other.
	if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/proof") != "" {
		c += "+"
	}
	return c
}

func kernel() string {
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		return runtime.GOOS + " " + strings.TrimSpace(string(b)) + " " + runtime.GOARCH
	}
	return runtime.GOOS + " " + runtime.GOARCH
}

// path is where the record of a run of a suite lies.
func (r *Record) path(dir string) string {
	name := r.Suite
	if r.Size == Unscaled {
		name += "-" + Unscaled
	}
	return filepath.Join(dir, name+".json")
}

func (r *Record) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Read reads all records in a directory, in the order of their names.
func Read(dir string) ([]*Record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []*Record
	for _, name := range names {
		r, err := read(name)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func read(name string) (*Record, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(Record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, &os.PathError{Op: "read the record", Path: name, Err: err}
	}
	return r, nil
}
