package faults

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/proof/stage"
)

// tracer is how strace is asked to run a command.
type tracer struct {
	calls  string // those traced
	inject string // the fault; empty: none
	path   string // only calls on this path; empty: on any
}

// run puts strace in front of a command and reads what it wrote.
func (t tracer) run(cmd *exec.Cmd, out string) (stage.Outcome, *trace, error) {
	args := []string{"strace", "-f", "-qq", "-y", "-ttt", "-s", "12", "-o", out, "-e", "trace=" + t.calls, "-e", "signal=none"}
	if t.inject != "" {
		args = append(args, "-e", "inject="+t.inject)
	}
	switch {
	case t.path != "":
		args = append(args, "-P", t.path)
	case !strings.Contains(t.inject, "signal="): // none is sent at the stops of a filter
		args = append(args, "--seccomp-bpf")
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return stage.Outcome{}, nil, err
	}
	cmd.Args = append(append(args, "--", cmd.Path), cmd.Args[1:]...)
	cmd.Path = path
	cmd.WaitDelay = 5 * time.Second // its child may hold the pipes
	// One processor, so that the calls come from as few threads as possible: an
	// occurrence is counted in each of them.
	cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	o := stage.Run(cmd)
	tr, err := readTrace(out)
	if err != nil {
		return o, nil, fmt.Errorf("strace: exit %d: %s: %w", o.Code, o.Messages, err)
	}
	return o, tr, nil
}

// trace is what strace saw.
type trace struct {
	calls []call
	most  map[string]int // of a call, by one thread
}

// call is one system call.
type call struct {
	name     string
	at       time.Time
	text     string // as strace prints it
	returned bool
	injected bool
}

// The lines: PID TIME NAME(ARGUMENTS) = RESULT, in two parts if another thread
// came between.
var (
	whole   = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (\w+)\((.*)$`)
	resumed = regexp.MustCompile(`^(\d+) +\d+\.\d+ <\.\.\. (\w+) resumed>(.*)$`)
)

const unfinished = " <unfinished ...>"

func readTrace(name string) (*trace, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &trace{most: map[string]int{}}
	open := map[string]int{} // thread: its unfinished call
	count := map[string]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if m := resumed.FindStringSubmatch(lines.Text()); m != nil {
			if i, ok := open[m[1]]; ok {
				t.calls[i].end(m[3])
				delete(open, m[1])
			}
			continue
		}
		m := whole.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		seconds, _ := strconv.ParseFloat(m[2], 64)
		c := call{name: m[3], at: time.UnixMicro(int64(seconds * 1e6))}
		count[m[1]+m[3]]++
		t.most[m[3]] = max(t.most[m[3]], count[m[1]+m[3]])
		if text, cut := strings.CutSuffix(m[4], unfinished); cut {
			c.text = text
			open[m[1]] = len(t.calls)
		} else {
			c.end(m[4])
		}
		t.calls = append(t.calls, c)
	}
	return t, lines.Err()
}

func (c *call) end(text string) {
	c.text += text
	c.injected = strings.HasSuffix(text, "(INJECTED)")
	result := text[strings.LastIndex(text, " = ")+1:]
	c.returned = strings.HasPrefix(result, "= ") && !strings.HasPrefix(result, "= ?")
}

// injected are the calls that failed because we said so.
func (t *trace) injected() []call {
	var all []call
	for _, c := range t.calls {
		if c.injected {
			all = append(all, c)
		}
	}
	return all
}

// path is what the first descriptor of a call is of.
func (c call) path() string {
	_, path, _ := strings.Cut(c.text, "<")
	path, _, _ = strings.Cut(path, ">")
	return path
}

// about reports whether a call is about an open file whose name begins with prefix.
func (c call) about(prefix string) bool { return strings.HasPrefix(filepath.Base(c.path()), prefix) }

// on reports whether a call is about a descriptor of a kind.
func (c call) on(kind string) bool { return strings.HasPrefix(c.path(), kind) }

// renamed reports whether a file got another name.
func (t *trace) renamed(path string) bool {
	for _, c := range t.calls {
		if c.name == "renameat" && strings.Contains(c.text, `"`+path+`"`) && c.returned && !c.injected {
			return true
		}
	}
	return false
}

// onDescriptor reports whether a call is about the descriptor n.
func (c call) onDescriptor(n string) bool { return strings.HasPrefix(c.text, n+"<") }

// inEscrow reports whether the answer was read and its write has returned.
func (t *trace) inEscrow() bool {
	read := false
	for _, c := range t.calls {
		switch {
		case c.name == "read" && strings.Contains(c.text, `"HTTP/1.1 200`):
			read = true
		case read && c.name == "pwrite64" && c.returned && !c.injected:
			return true
		}
	}
	return false
}
