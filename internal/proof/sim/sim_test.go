package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"

	"github.com/evercred/evercred/credtest"
)

var (
	from    = flag.Uint64("sim.from", 1, "the first seed")
	count   = flag.Int("sim.n", 300, "how many seeds")
	step    = flag.Uint64("sim.step", 1, "from one seed to the next")
	lines   = flag.Bool("sim.json", false, "write a JSON line for each seed to standard output")
	verbose = flag.Bool("sim.log", false, "write the log to standard error")
)

// No test may open a real login.
func TestMain(m *testing.M) { credtest.Main(m) }

// A seed decides everything only if one goroutine runs at a time and nothing
// interrupts it. So there is one processor, and garbage waits for the pause
// between two seeds.
func TestSeeds(t *testing.T) {
	if raced {
		t.Skip("the race detector schedules by chance, and cannot know that one goroutine runs at a time")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	dir := filepath.Join(t.TempDir(), "claude") // the locks ask the real system for links in its path
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var log func(string)
	if *verbose {
		log = func(line string) { fmt.Fprintln(os.Stderr, line) }
	}
	for i := range *count {
		seed := *from + uint64(i)**step
		if *lines {
			fmt.Printf("{\"begins\":%d}\n", seed)
		}
		var r *report
		synctest.Test(t, func(t *testing.T) { r = simulate(t, dir, seed, log) })
		if *lines {
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("%s\n", b)
		} else {
			for _, wrong := range r.Wrong {
				t.Errorf("seed %d: %s", seed, wrong)
			}
		}
		if i%100 == 99 {
			runtime.GC()
		}
	}
}
