package clock

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/evercred/evercred/credtest"
)

var (
	lines = flag.Bool("clock.json", false, "write a JSON line for each case to standard output")
	only  = flag.String("clock.only", "", "the one case to run")
)

// No test may open a real login.
func TestMain(m *testing.M) { credtest.Main(m) }

func TestCases(t *testing.T) {
	names := map[string]bool{}
	for _, c := range cases() {
		name := c.group + ": " + c.name
		if names[name] {
			t.Fatalf("two cases are called %q", name)
		}
		names[name] = true
		if *only != "" && *only != name {
			continue
		}
		r := report{Group: c.group, Name: name, Wrong: perform(t, c)}
		if *lines {
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("%s\n", line)
			continue
		}
		for _, wrong := range r.Wrong {
			t.Errorf("%s: %s", name, wrong)
		}
	}
}

// perform runs a case in a bubble, on a directory of its own.
func perform(t *testing.T, c timed) (wrong []string) {
	root := ""
	if i, err := os.Stat("/dev/shm"); err == nil && i.IsDir() { // a sync costs nothing there
		root = "/dev/shm"
	}
	dir, err := os.MkdirTemp(root, "evercred-clock-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, dir, c.left)
		c.do(b)
		b.end()
		wrong = b.wrong
	})
	return wrong
}
