// Command measure prints the figures of docs/measuring.md. Ratios are taken
// side by side in one run, because the machines they are taken on are noisy.
//
//	go run ./internal/measure            # all of them
//	go run ./internal/measure cold storm # some
//
// It uses throw-away logins and an endpoint on loopback, and nothing of the
// environment reaches the processes that it measures.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// experiments in the order in which they run.
var experiments = []struct {
	name string
	run  func(*lab) error
}{
	{"memory", memory},
	{"hot", hot},
	{"cold", cold},
	{"looks", looks},
	{"storm", storm},
	{"refresh", refresh},
	{"dead", dead},
	{"outage", outage},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	dir, err := os.MkdirTemp("", "evercred-measure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if len(names) == 2 && names[0] == memoryHere {
		return resident(&lab{dir: dir, evercred: names[1]})
	}
	l := &lab{dir: dir, evercred: filepath.Join(dir, "evercred"), base: filepath.Join(dir, "base")}
	for to, pkg := range map[string]string{l.evercred: "./cmd/evercred", l.base: "./internal/measure/base"} {
		if out, err := exec.Command("go", "build", "-o", to+linked, pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	if err := l.install(); err != nil {
		return err
	}
	known := 0
	for _, e := range experiments {
		if len(names) > 0 && !slices.Contains(names, e.name) {
			continue
		}
		known++
		if err := e.run(l); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if known < len(names) {
		return fmt.Errorf("there are hot, cold, looks, storm, refresh, dead, outage and memory; not all of %v", names)
	}
	return nil
}

func median[T time.Duration | float64](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
