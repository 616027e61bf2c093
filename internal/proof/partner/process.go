package partner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// The signals of a holder that stands still, by number: Windows, where this
// package must build, has no names for them.
const (
	sigCont = syscall.Signal(18)
	sigStop = syscall.Signal(19)
)

// process is one contender, alive between its tasks.
type process struct {
	cmd   *exec.Cmd
	in    *json.Encoder
	close func() error
	lines chan said // closed at its end
	errs  *tail
}

// pool starts contenders of one kind as they are needed and keeps them.
type pool struct {
	command func() *exec.Cmd
	size    int

	mu    sync.Mutex
	freed *sync.Cond
	idle  []*process
	out   int
}

func newPool(size int, command func() *exec.Cmd) *pool {
	p := &pool{command: command, size: size}
	p.freed = sync.NewCond(&p.mu)
	return p
}

// take gives n contenders, all at once or none.
func (p *pool) take(n int) ([]*process, error) {
	p.mu.Lock()
	for p.out+n > p.size {
		p.freed.Wait()
	}
	p.out += n
	reused := min(n, len(p.idle))
	taken := slices.Clone(p.idle[:reused])
	p.idle = slices.Delete(p.idle, 0, reused)
	p.mu.Unlock()
	for len(taken) < n {
		c, err := start(p.command())
		if err != nil {
			p.give(taken)
			p.lost(n - len(taken))
			return nil, err
		}
		taken = append(taken, c)
	}
	return taken, nil
}

// give takes them back; those that have been killed are forgotten.
func (p *pool) give(all []*process) {
	p.mu.Lock()
	for _, c := range all {
		if c.cmd.ProcessState == nil {
			p.idle = append(p.idle, c)
		}
	}
	p.mu.Unlock()
	p.lost(len(all))
}

func (p *pool) lost(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out -= n
	p.freed.Broadcast()
}

// end ends every contender that is idle.
func (p *pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.kill()
	}
	p.idle = nil
}

func start(cmd *exec.Cmd) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c := &process{cmd: cmd, in: json.NewEncoder(in), close: in.Close, lines: make(chan said, 8), errs: new(tail)}
	cmd.Stderr = c.errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.lines)
		dec := json.NewDecoder(bufio.NewReader(out))
		for {
			var s said
			if dec.Decode(&s) != nil {
				return
			}
			c.lines <- s
		}
	}()
	return c, nil
}

// await returns the result as soon as the task is done, or an empty one as soon
// as the contender says until.
func (c *process) await(ctx context.Context, within time.Duration, until string) (event string, r result, err error) {
	bound := time.NewTimer(within)
	defer bound.Stop()
	for {
		select {
		case s, ok := <-c.lines:
			switch {
			case !ok:
				return "", r, fmt.Errorf("a contender ended: %s", c.errs)
			case s.Event == "done" || s.Event == until:
				return s.Event, s.Result, nil
			}
		case <-bound.C:
			return "", r, errHung
		case <-ctx.Done():
			return "", r, ctx.Err()
		}
	}
}

var errHung = errors.New("a contender did not come to its end")

func (c *process) signal(s os.Signal) { _ = c.cmd.Process.Signal(s) }

// kill ends it with SIGKILL and waits until it is gone.
func (c *process) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.close()
	for range c.lines {
	}
	_ = c.cmd.Wait()
}

// tail is the end of what a process complains of.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-2000):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
