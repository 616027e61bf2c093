package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/owner/claudecode"
)

// scene is one promise, tried out on a login of its own.
type scene struct {
	name, title string
	login       *demoLogin

	seen     string   // what came of it
	short    []string // what fell short of the promise
	took     time.Duration
	takeover time.Duration
	tokens   int
	grants   int
	requests int
	foreign  int // bytes that are not ours and stayed as they were
}

// expect notes what fell short, once.
func (c *scene) expect(good bool, format string, args ...any) {
	if good {
		return
	}
	if what := fmt.Sprintf(format, args...); !slices.Contains(c.short, what) {
		c.short = append(c.short, what)
	}
}

// play tries all the promises: the crowd first, and then side by side what kills
// and refuses.
func (s *stage) play(ctx context.Context) []*scene {
	crowd := &scene{name: "one-grant", title: fmt.Sprintf("%d processes ask at once", s.options.processes)}
	escrow := &scene{name: "escrow", title: "killed before the save"}
	takeover := &scene{name: "takeover", title: "killed with the locks held"}
	refused := &scene{name: "unauthorized", title: "token refused by the API"}

	s.try(ctx, crowd, -time.Minute, s.crowd)
	var side sync.WaitGroup
	side.Go(func() { s.try(ctx, escrow, -time.Minute, s.escrow) })
	side.Go(func() { s.try(ctx, takeover, -time.Minute, s.takeover) })
	side.Go(func() { s.try(ctx, refused, time.Hour, s.refused) })
	side.Wait()

	scenes := []*scene{crowd, escrow, takeover, refused}
	return append(scenes, neighbours(scenes))
}

// try plays one scene on a login whose token ends in left, and then looks at
// what every scene must have left: one grant, the successor stored, nothing else.
func (s *stage) try(ctx context.Context, c *scene, left time.Duration, play func(context.Context, *scene)) {
	began := time.Now()
	s.progress.tell("%s…", c.title)
	var err error
	if c.login, err = s.lay(c.name, left); err != nil {
		c.expect(false, "its login could not be laid: %v", err)
		return
	}
	play(ctx, c)
	c.took = time.Since(began)
	s.lookAround(c)
	if ctx.Err() != nil {
		c.expect(false, "the time was over")
	}
}

// crowd: any number of processes on one expired login cause one grant, and all
// get its token (FAILURES R1).
func (s *stage) crowd(ctx context.Context, c *scene) {
	all := make(chan struct{})
	s.holdUntil(c.login, all) // whoever comes after the answer would prove nothing
	crowd := make([]*demoProcess, s.options.processes)
	for i := range crowd {
		crowd[i] = s.token(ctx, c.login, "")
	}
	close(all)
	tokens := map[string]bool{}
	for _, p := range crowd {
		if token := c.await(p); token != "" {
			tokens[token] = true
		}
		s.progress.tell("%s: %d tokens", c.title, c.tokens)
	}
	c.expect(len(tokens) == 1, "they got %d different tokens", len(tokens))
	c.expect(tokens[c.stored()], "the token that they got is not the stored one")
	c.seen = fmt.Sprintf("%d tokens, %s", c.tokens, sameOrNot(len(tokens)))
}

// await gives the token that a process printed, which is counted; empty: none.
func (c *scene) await(p *demoProcess) string {
	p.wait()
	token := p.secret()
	if p.err != nil || token == "" {
		c.expect(false, "a process got no token: %s", p.said())
		return ""
	}
	c.tokens++
	return token
}

func sameOrNot(distinct int) string {
	if distinct == 1 {
		return "all the same"
	}
	return fmt.Sprintf("%d different ones", distinct)
}

// escrow: a process that dies between the answer and the save has left the
// successor in its attempt, and the next one saves it (FAILURES R7).
func (s *stage) escrow(ctx context.Context, c *scene) {
	dead := s.token(ctx, c.login, string(crash.AfterAnswer))
	dead.wait()
	doc, _, err := c.login.stored()
	pending, perr := c.login.book().Pending()
	c.expect(dead.killed(), "the process was not killed: %s", dead.said())
	c.expect(err == nil && bytes.Equal(doc, c.login.laid), "the killed process had saved already")
	c.expect(perr == nil && pending, "the killed process left no answer behind")
	s.count(c)
	before := c.requests

	token := c.await(s.token(ctx, c.login, ""))
	s.count(c)
	again := c.requests - before
	c.expect(token == c.stored(), "the next process's token is not the stored one")
	c.expect(again == 0, "the next process asked the endpoint %d times more", again)
	c.seen = "the next process recovered the answer"
	if len(c.short) > 0 {
		c.seen = "the answer was not recovered"
	}
}

// takeoverLimit is generous: the machine may be busy. By their age alone the
// locks would stand for more than a minute (INTEROP §3).
const takeoverLimit = 3 * time.Second

// takeover: the locks of a process of ours that surely died do not hold up the
// next one (FAILURES L2).
func (s *stage) takeover(ctx context.Context, c *scene) {
	dead := s.token(ctx, c.login, string(crash.DuringLock))
	dead.wait()
	left := c.login.refreshLocks()
	c.expect(dead.killed(), "the process was not killed: %s", dead.said())
	c.expect(len(left) == 2, "the killed process left no locks")

	var asked time.Time
	var held []fsys.Info
	s.onArrival(c.login, func() {
		if asked.IsZero() {
			asked, held = time.Now(), c.login.refreshLocks()
		}
	})
	next := s.token(ctx, c.login, "")
	c.expect(c.await(next) == c.stored(), "the next process's token is not the stored one")
	c.takeover = asked.Sub(next.began)
	if asked.IsZero() {
		c.seen = "the next process never got to its grant"
		c.expect(false, "%s", c.seen)
		return
	}
	c.expect(slices.EqualFunc(left, held, restamped), "the locks that the dead process left were not taken over")
	c.expect(c.takeover < takeoverLimit, "the takeover took %s", seconds(c.takeover))
	c.seen = fmt.Sprintf("its locks were taken over in %s", seconds(c.takeover))
}

// restamped: the same lock, with another time.
func restamped(left, held fsys.Info) bool {
	return fsys.SameFile(left, held) && !left.ModTime.Equal(held.ModTime)
}

// refused: a 401 before the token's end costs one grant, and the caller sees a
// 200 (FAILURES R15). This one runs in our own process, as a library.
func (s *stage) refused(ctx context.Context, c *scene) {
	src, err := claudecode.OpenFile(c.login.file, &claudecode.Options{
		TokenURL:  s.endpoint.URL(),
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		c.expect(false, "%v", err)
		return
	}
	defer src.Close()
	s.endpoint.RevokeAccess(c.login.issued.Access)
	status, err := callAPI(ctx, src, s.endpoint.MessagesURL())
	c.expect(err == nil, "the call failed: %v", err)
	c.expect(status == http.StatusOK, "the caller saw %d", status)
	old, successor := s.callsWith(c.login.issued.Access), s.callsWith(c.stored())
	c.expect(slices.Equal(old, []int{http.StatusUnauthorized}), "the API answered the old token with %v", old)
	c.expect(slices.Equal(successor, []int{http.StatusOK}), "the API answered the successor with %v", successor)
	c.seen = fmt.Sprintf("the API answered %s; the caller saw %d", sequence(append(old, successor...)), status)
}

// sequence is "401, then 200".
func sequence(statuses []int) string {
	words := make([]string, len(statuses))
	for i, status := range statuses {
		words[i] = strconv.Itoa(status)
	}
	return strings.Join(words, ", then ")
}

// callAPI makes one request as a program would that uses the library.
func callAPI(ctx context.Context, src *evercred.Source, address string) (status int, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	base := &http.Transport{} // no proxy from the environment
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &evercred.Transport{Provider: src, Hosts: []string{u.Host}, Base: base}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// callsWith are the API's answers to a token, from its log.
func (s *stage) callsWith(token string) []int {
	var statuses []int
	for _, call := range s.endpoint.Calls() {
		if call.Header.Get("Authorization") == "Bearer "+issuer.Fingerprint(token) {
			statuses = append(statuses, call.Status)
		}
	}
	return statuses
}

// stored is the access token in the login's file; empty: none can be read.
func (c *scene) stored() string {
	_, cred, err := c.login.stored()
	if err != nil {
		return ""
	}
	return cred.Access.Reveal()
}

// count reads the endpoint's log.
func (s *stage) count(c *scene) {
	c.grants, c.requests = 0, 0
	for _, r := range s.endpoint.Audit() {
		if r.Login != c.login.issued.ID {
			continue
		}
		c.requests++
		if r.Granted() {
			c.grants++
		}
	}
}

// lookAround is what every scene must have left: one grant, its successor
// stored, no lock, nothing open.
func (s *stage) lookAround(c *scene) {
	s.count(c)
	c.expect(c.grants == 1, "%s, not 1", plural(c.grants, "grant"))
	c.expect(c.requests == c.grants, "%s for %s", plural(c.requests, "request"), plural(c.grants, "grant"))
	_, cred, err := c.login.stored()
	c.expect(err == nil && cred.Refresh.Reveal() == s.endpoint.Newest(c.login.issued.ID), "the successor is not stored")
	left := c.login.locks()
	c.expect(len(left) == 0, "locks were left: %v", left)
	open, err := c.login.book().Attempts()
	c.expect(err == nil && len(open) == 0, "attempts were left open")
}

// neighbours: in every scene each byte that is not ours stayed as it was
// (FAILURES F1).
func neighbours(scenes []*scene) *scene {
	c := &scene{name: "neighbours", title: "neighbours in the file"}
	files := 0
	for _, other := range scenes {
		if other.login == nil {
			continue
		}
		doc, err := os.ReadFile(other.login.file)
		if err == nil {
			doc, err = othersIn(doc)
		}
		if err != nil || !bytes.Equal(doc, other.login.others) {
			c.expect(false, "what is not ours changed in the scene %q", other.title)
			continue
		}
		files++
		c.foreign += len(doc)
	}
	c.expect(files == len(scenes), "%d of %d files are as they were", files, len(scenes))
	c.seen = fmt.Sprintf("%d bytes in %d files are as they were", c.foreign, files)
	return c
}
