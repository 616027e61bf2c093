package suite

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress is one line that is rewritten on a terminal, and nothing in a pipe.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	last     time.Time
	shown    bool
}

func newProgress(f *os.File) *progress {
	return &progress{out: f, terminal: term.IsTerminal(int(f.Fd()))}
}

func (p *progress) show(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.out, "\r\x1b[K%s", line)
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
	fmt.Fprintf(p.out, format, args...)
}
