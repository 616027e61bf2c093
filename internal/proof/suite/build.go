package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Build compiles a command of the module, once a run, with the changes of a
// negative control, and with the protocol times of production shortened by
// factor (1: as they are).
func (r *Run) Build(pkg string, factor int) (string, error) {
	return r.build("build", pkg, factor)
}

// BuildTest compiles the tests of a package. (testing/synctest wants a test.)
func (r *Run) BuildTest(pkg string) (string, error) { return r.build("test", pkg, 1) }

func (r *Run) build(verb, pkg string, factor int, flags ...string) (string, error) {
	key := fmt.Sprint(verb, pkg, factor)
	r.mu.Lock()
	if r.built == nil {
		r.built = map[string]func() (string, error){}
	}
	f := r.built[key]
	if f == nil {
		n := len(r.built)
		f = sync.OnceValues(func() (string, error) {
			dir := filepath.Join(r.Dir, fmt.Sprint("built", n))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return "", err
			}
			over := r.Overlay
			if factor > 1 {
				var err error
				if over, err = overlay(r.Module, filepath.Join(dir, "overlay"), over, []Edit{{
					File: "internal/timing/timing.go",
					Old:  "func Default() Protocol {",
					New:  fmt.Sprintf("func Default() Protocol { return design().Scaled(%d) }\n\nfunc design() Protocol {", factor),
				}}); err != nil {
					return "", err
				}
			}
			program := filepath.Join(dir, filepath.Base(strings.TrimSuffix(pkg, "/.")))
			args := []string{verb, "-o", program}
			if verb == "test" {
				args = append(args, "-c")
			}
			return program, goRun(r.Module, over, append(args, pkg)...)
		})
		r.built[key] = f
	}
	r.mu.Unlock()
	return f()
}

// Env is all of the environment that a child of the proof gets: the way to the
// programs and to Go's caches, and a home that is nobody's.
func Env(home string, more ...string) []string {
	env := []string{"HOME=" + home, "TMPDIR=" + os.TempDir(), "LC_ALL=C", "GOFLAGS=-buildvcs=false"}
	for _, name := range []string{"PATH", "GOCACHE", "GOPATH", "GOMODCACHE", "GOPROXY", "GOTOOLCHAIN"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, more...)
}
