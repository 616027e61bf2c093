package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/proof/suite"
)

// patience is for clients to load, and for a race to end.
const patience = 2 * time.Minute

// party is some clients of one peer on one login, each a process.
type party struct {
	clients []*exec.Cmd
	errs    []bytes.Buffer
	gate    *os.File // they start when it is closed
}

// gather starts n clients, and returns when each has loaded itself and stands
// at the barrier.
func (n *loopback) gather(r *suite.Run, p *peer, l *login, size int) (*party, error) {
	wait, gate, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer wait.Close()
	loaded, ready, err := os.Pipe()
	if err != nil {
		gate.Close()
		return nil, err
	}
	defer loaded.Close()
	g := &party{errs: make([]bytes.Buffer, size), gate: gate}
	for i := range size {
		c := p.command(r, l)
		c.Stdin, c.Stderr, c.ExtraFiles = wait, &g.errs[i], []*os.File{ready}
		c.WaitDelay = time.Second
		n.in(func() { err = c.Start() })
		if err != nil {
			break
		}
		g.clients = append(g.clients, c)
	}
	ready.Close()
	if err == nil {
		err = g.await(loaded)
	}
	if err != nil {
		g.end()
		return nil, fmt.Errorf("%s does not get to the start: %w %s", p.name, err, g.messages())
	}
	return g, nil
}

// await reads one byte of each client.
func (g *party) await(loaded *os.File) error {
	if err := loaded.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	b := make([]byte, len(g.clients))
	for got := 0; got < len(b); {
		k, err := loaded.Read(b)
		if err != nil {
			return err
		}
		got += k
	}
	return nil
}

// end kills who is left.
func (g *party) end() {
	g.gate.Close()
	for _, c := range g.clients {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// race opens the gate, waits for everybody, and counts those who got no token.
// Whoever hangs is killed, and got none.
func (g *party) race(ctx context.Context) (failed int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		for _, c := range g.clients {
			_ = c.Process.Kill()
		}
	})()
	g.gate.Close()
	for _, c := range g.clients {
		if c.Wait() != nil {
			failed++
		}
	}
	return failed
}

// messages are the last words of the clients, each once.
func (g *party) messages() string {
	var all []string
	seen := map[string]bool{}
	for i := range g.errs {
		if s := strings.TrimSpace(g.errs[i].String()); s != "" && !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return strings.Join(all, " | ")
}
