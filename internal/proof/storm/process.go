package storm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/proof/stage"
)

// process is one of the storm's. All signals go through os.Process, which never
// meets another process under an old pid.
type process struct {
	cmd    *exec.Cmd
	number int // of all processes of the episode
	stdin  io.Closer
	lines  []stage.Line // read after done
	text   strings.Builder
	out    strings.Builder // of a command
	done   chan struct{}
	err    error // of reading its lines, or of its end
	killed bool  // guarded by episode.mu
}

// start starts a program whose standard output is lines or, of a command, a
// token. It ends when its standard input does.
func start(ctx context.Context, home string, lines bool, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, path, args...), done: make(chan struct{})}
	p.cmd.Env = []string{"HOME=" + home}
	p.cmd.Stderr = &p.text
	var out io.Reader
	var err error
	if lines {
		if out, err = p.cmd.StdoutPipe(); err == nil {
			p.stdin, err = p.cmd.StdinPipe()
		}
	} else {
		p.cmd.Stdout = &p.out
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		if lines {
			p.err = p.read(out)
		}
		if err := p.cmd.Wait(); err != nil && p.err == nil {
			p.err = err
		}
	}()
	return p, nil
}

func (p *process) read(r io.Reader) error {
	s := bufio.NewScanner(r)
	for s.Scan() {
		var l stage.Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return fmt.Errorf("line %q: %w", s.Text(), err)
		}
		p.lines = append(p.lines, l)
	}
	return s.Err()
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s syscall.Signal) bool { return p.cmd.Process.Signal(s) == nil }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// freeze stops a process and returns when each of its threads stands still:
// what it was doing in the kernel is finished then, and it does nothing more.
func (p *process) freeze() bool {
	if !p.signal(freezing) {
		return false
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if p.ended() {
			return false
		}
		if p.still() {
			return true
		}
		pause(context.Background(), 200*time.Microsecond)
	}
	return false
}

// still reports whether all threads are stopped (state T).
func (p *process) still() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.pid()))
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // that thread is gone
		}
		// The name in parentheses may hold anything; the state follows the last one.
		if _, rest, ok := strings.Cut(string(b), ") "); !ok || !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return len(stats) > 0
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
