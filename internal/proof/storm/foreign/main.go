// Command foreign is a refresher of the storm that is not evercred: it follows
// the owners' lock protocol as it was seen from outside (INTEROP §3), unchecked
// takeover and release included, and says so in its User-Agent. It tells what
// it did in lines (stage.Line), and ends with its standard input.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/claudecode"
)

func main() {
	dir := flag.String("dir", "", "the directory of the login")
	url := flag.String("token-url", "", "the token endpoint")
	pause := flag.Duration("pause", time.Second, "between two refreshes, about")
	factor := flag.Int("factor", 1, "by how much the owner's times are shortened")
	flag.Parse()
	f := refresher{dir: *dir, url: *url, factor: *factor, times: timing.Default(), out: stage.NewLines(os.Stdout)}
	if err := f.run(*pause); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
}

// refresher is one of the owner's processes. Its times come from the same
// struct as evercred's, which the build shortens.
type refresher struct {
	dir, url string
	factor   int
	times    timing.Protocol
	out      *stage.Lines
}

func (f *refresher) run(pause time.Duration) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	for wait(ctx, pause/2+rand.N(pause)) {
		if err := f.refresh(ctx); err != nil {
			return err
		}
	}
	return nil
}

// refresh is: look, lock, look again, grant, save, release.
func (f *refresher) refresh(ctx context.Context) error {
	before, err := f.load()
	if err != nil || before.Refresh.IsZero() {
		return err
	}
	refresh, write := claudecode.LockPaths(f.dir)
	l := f.lock(ctx, refresh)
	if l == nil {
		return nil // busy, and we have waited long enough
	}
	defer l.release()
	now, err := f.load()
	if err != nil || !now.Access.Equal(before.Access) {
		return err // somebody else was faster
	}
	answer, err := f.grant(now.Refresh.Reveal())
	if err != nil {
		return err
	}
	if l.compromised() { // so the owner aborts, and its answer is lost
		return f.tell("compromised", now, answer, time.Now())
	}
	save := f.writeLock(write)
	defer save.release()
	// The owner reads the file again before it writes; what it finds it keeps,
	// if that is not what it sent.
	if again, err := f.load(); err != nil || !again.Refresh.Equal(now.Refresh) {
		return errors.Join(err, f.tell("passed over", now, answer, time.Now()))
	}
	began := time.Now()
	if err := f.save(stage.Document(answer.Access, answer.Refresh, answer.expires())); err != nil {
		return err
	}
	return f.tell(answer.op(), now, answer, began)
}

func (f *refresher) tell(op string, sent evercred.Credential, a answer, began time.Time) error {
	return f.out.Tell(stage.Line{
		Op: op, Call: began.UnixNano(), Return: time.Now().UnixNano(),
		Access: issuer.Fingerprint(a.Access), Refresh: sent.Refresh.Fingerprint(),
	})
}

func (f *refresher) path() string { return filepath.Join(f.dir, ".credentials.json") }

func (f *refresher) load() (evercred.Credential, error) {
	doc, err := os.ReadFile(f.path())
	if err != nil {
		return evercred.Credential{}, err
	}
	return claudecode.Codec{}.Decode(doc)
}

// save replaces the file by one written beside the directory.
func (f *refresher) save(doc []byte) error {
	tmp := fmt.Sprintf("%s.foreign-%d", f.dir, os.Getpid())
	if err := os.WriteFile(tmp, doc, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, f.path())
}

// answer is the endpoint's. After a refusal both tokens are empty, and so the
// login is blanked (INTEROP §2).
type answer struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ExpiresIn int    `json:"expires_in"`
}

func (a answer) op() string {
	if a.Access == "" {
		return "blanked"
	}
	return "saved"
}

func (a answer) expires() time.Time {
	if a.Access == "" {
		return time.UnixMilli(0)
	}
	return time.Now().Add(time.Duration(a.ExpiresIn) * time.Second)
}

func (f *refresher) grant(refresh string) (a answer, err error) {
	body, err := json.Marshal(map[string]string{"grant_type": "refresh_token", "refresh_token": refresh, "client_id": claudecode.ClientID})
	if err != nil {
		return a, err
	}
	req, err := http.NewRequest(http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "foreign-refresher (the proof of evercred)")
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusBadRequest {
		return a, nil
	}
	return a, json.NewDecoder(resp.Body).Decode(&a)
}

// wait reports false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
