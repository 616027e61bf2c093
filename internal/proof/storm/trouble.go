package storm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// kill is the death of a process, and what it was about: it is frozen first, so
// that what stands on disk is what it left.
type kill struct {
	at     time.Time
	pid    int
	holder bool // of the guard
	// unanswered and answered are the refresh tokens of its attempts, by what the
	// escrow holds of the answer.
	unanswered, answered []string
	// saving: its save had begun, so that the answer must have been in the escrow.
	saving bool
	// unkept: it had taken the answer from its connection, and the escrow does not
	// hold it. Between the two there is one call of the system.
	unkept bool
	wrong  []string // what held no more at this moment, and must at every one
}

// freeze is a time for which a process was stopped.
type freeze struct {
	from, to time.Time
	process  int
	holder   bool
}

// aimed is the part of the trouble that seeks whoever holds the guard. More of
// it would keep evercred resting: after a death between send and answer the
// next generation has to wait (DESIGN §6.12).
const aimed = 0.2

// killer kills one process every 50 to 500 ms.
func (e *episode) killer() {
	chance := e.r.Rand(e.name + " killer")
	for pause(e.ctx, 50*time.Millisecond+upTo(chance, 450*time.Millisecond)) {
		if p := e.victim(chance); p != nil {
			e.kill(p)
		}
	}
}

// stopper stops one for a moment, and sometimes for longer than the age at
// which its locks pass for dead.
func (e *episode) stopper() {
	chance := e.r.Rand(e.name + " stopper")
	for n := 0; pause(e.ctx, 200*time.Millisecond+upTo(chance, time.Second)); n++ {
		p := e.victim(chance)
		if p == nil || !p.freeze() {
			continue
		}
		f := freeze{from: time.Now(), process: p.number, holder: e.holds(p)}
		d := upTo(chance, 300*time.Millisecond)
		if long := e.times.StaleAge; n%12 == 6 && e.r.Factor > 1 {
			d = long + upTo(chance, long/2)
		}
		pause(e.ctx, d)
		f.to = time.Now()
		p.thaw()
		e.mu.Lock()
		e.stops = append(e.stops, f)
		e.mu.Unlock()
	}
}

// victim is whoever holds the guard, if it is aimed, else anybody.
func (e *episode) victim(chance *rand.Rand) *process {
	if chance.Float64() < aimed {
		for range 50 {
			if p := e.holder(); p != nil {
				pause(e.ctx, upTo(chance, 20*time.Millisecond)) // anywhere in its flight, or just after it
				return p
			}
			if !pause(e.ctx, time.Millisecond) {
				return nil
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*process, 0, len(e.alive))
	for p := range e.alive {
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(p, q *process) int { return p.number - q.number })
	return all[chance.IntN(len(all))]
}

func (e *episode) holder() *process {
	h, held, err := e.book.Holder()
	if err != nil || !held {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for p := range e.alive {
		if p.pid() == h.ID.PID {
			return p
		}
	}
	return nil
}

func (e *episode) holds(p *process) bool {
	h, held, err := e.book.Holder()
	return err == nil && held && h.ID.PID == p.pid()
}

func (e *episode) kill(p *process) {
	if !p.freeze() {
		p.thaw()
		return
	}
	k := kill{at: time.Now(), pid: p.pid(), holder: e.holds(p)}
	if k.holder {
		e.inspect(&k)
	}
	if doc, err := os.ReadFile(e.login.Path()); err != nil {
		k.wrong = append(k.wrong, err.Error())
	} else if why := stage.Foreign(doc, false); why != "" {
		k.wrong = append(k.wrong, why)
	}
	e.mu.Lock()
	p.killed = true
	e.kills = append(e.kills, k)
	e.mu.Unlock()
	p.signal(syscall.SIGKILL)
	<-p.done
}

// inspect looks at what the frozen holder of the guard has on disk.
func (e *episode) inspect(k *kill) {
	newest := []byte(e.server.Committed(e.login.ID))
	records, err := e.book.Attempts()
	if err != nil {
		k.wrong = append(k.wrong, "the attempts cannot be read: "+err.Error())
	}
	for _, r := range records {
		if _, sent := r.Sent(); !sent || r.Intent().Holder.PID != k.pid {
			continue // the deaths of others have been looked at
		}
		if raw, _, _ := r.Answer(); bytes.Contains(raw, newest) {
			k.answered = append(k.answered, r.Intent().Refresh)
		} else {
			k.unanswered = append(k.unanswered, r.Intent().Refresh)
			k.unkept = k.unkept || e.hasRead(r.Intent().Refresh)
		}
	}
	// The successor in the temporary file is of step 9, unless it is what a dead
	// process saved there, and this one sends. (The write lock would be of step 9
	// too, but a foreigner may hold it.)
	if slices.Contains(k.unanswered, issuer.Fingerprint(string(newest))) {
		return
	}
	files, _ := filepath.Glob(filepath.Join(e.login.Ledger(), "tmp-*"))
	for _, name := range files {
		b, _ := os.ReadFile(name)
		k.saving = k.saving || bytes.Contains(b, newest)
	}
}

// hasRead reports whether the whole answer to a refresh token was written, and
// nothing of it waits in the client's connection.
func (e *episode) hasRead(refresh string) bool {
	log := e.server.Audit()
	for i := len(log) - 1; i >= 0; i-- {
		if r := log[i]; r.Refresh == refresh && ours(r) {
			return r.Told && !r.Ended.IsZero() && waiting(r.Remote) == 0
		}
	}
	return false
}

// waiting is how many bytes the connection from a loopback address has received
// and its program has not read.
func waiting(addr string) int {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return 0
	}
	table, _ := os.ReadFile("/proc/net/tcp")
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st tx_queue:rx_queue …
		f := strings.Fields(line)
		if len(f) < 5 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", a.Port())) {
			continue
		}
		_, rx, _ := strings.Cut(f[4], ":")
		n, _ := strconv.ParseInt(rx, 16, 64)
		return max(0, int(n)-1) // the end of the stream counts as one
	}
	return 0
}

// upTo is a random time in [0, d).
func upTo(chance *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(chance.Int64N(int64(d)))
}
