package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// lab is where the experiments take place.
type lab struct {
	dir, evercred, base string
	logins              int
}

// linked is the end of the name under which the linker leaves a program.
const linked = ".linked"

// install copies the programs, as an installation does: the linker leaves its
// file in the page cache in pieces, which slows every start down. A copy lies
// there better or worse as well, for as long as it stays; what is measured to
// some percent is installed anew now and then.
func (l *lab) install() error {
	for _, to := range []string{l.evercred, l.base} {
		program, err := os.ReadFile(to + linked)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		if err := os.WriteFile(to, program, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// login lays a login of its own directory; pad is how many bytes of neighbours
// stand beside it.
func (l *lab) login(first issuer.Login, left time.Duration, pad int) (dir string, err error) {
	l.logins++
	dir = filepath.Join(l.dir, fmt.Sprint("login", l.logins))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	doc := fmt.Sprintf(`{"mcpOAuth":{"pad":%q},"claudeAiOauth":{"accessToken":%q,"refreshToken":%q,"expiresAt":%d,"scopes":["user:inference"]}}`,
		strings.Repeat("x", pad), first.Access, first.Refresh, time.Now().Add(left).UnixMilli())
	return dir, os.WriteFile(filepath.Join(dir, ".credentials.json"), []byte(doc), 0o600)
}

// profile lays an Anthropic profile into a directory, with the token of a login.
func (l *lab) profile(dir string, login issuer.Login, left time.Duration) error {
	write := func(kind, text string) error {
		if err := os.MkdirAll(filepath.Join(dir, kind), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, kind, "default.json"), []byte(text), 0o600)
	}
	return errors.Join(
		write("configs", `{"version":"1.0","authentication":{"type":"user_oauth","client_id":"measured"}}`),
		write("credentials", fmt.Sprintf(`{"version":"1.0","type":"oauth_token","access_token":%q,"refresh_token":%q,"expires_at":%d}`,
			login.Access, login.Refresh, time.Now().Add(left).Unix())),
	)
}

// endpoint starts a token endpoint that takes its time.
func endpoint(take time.Duration) (*issuer.Server, error) {
	s := issuer.New(&issuer.Options{Behaviour: issuer.Behaviour{BeforeCommit: take}})
	_, err := s.Start()
	return s, err
}

// outcome is one process.
type outcome struct {
	code  int
	token string
	took  time.Duration
	rssKB int64
}

// command prepares `evercred ARGS` on a login, with nothing of our environment.
func (l *lab) command(dir, url string, args ...string) *exec.Cmd {
	args = append(args, "--config-dir", dir)
	if url != "" {
		args = append(args, "--token-url", url)
	}
	return l.bare(nil, args...)
}

// bare prepares `evercred ARGS` with an environment of its own.
func (l *lab) bare(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(l.evercred, args...)
	cmd.Env = append([]string{"HOME=" + l.dir}, env...)
	return cmd
}

func once(cmd *exec.Cmd) outcome {
	var out bytes.Buffer
	cmd.Stdout = &out
	began := time.Now()
	_ = cmd.Run() // the code says it
	o := outcome{took: time.Since(began), token: strings.TrimSpace(out.String()), code: -1}
	if s := cmd.ProcessState; s != nil {
		o.code, o.rssKB = s.ExitCode(), maxRSS(s)
	}
	return o
}

// all starts n processes at once and waits for the last.
func (l *lab) all(n int, dir, url string) (took time.Duration, outcomes []outcome) {
	outcomes = make([]outcome, n)
	cmds := make([]*exec.Cmd, n)
	for i := range cmds {
		cmds[i] = l.command(dir, url, "token")
	}
	var wg sync.WaitGroup
	began := time.Now()
	for i := range cmds {
		wg.Go(func() { outcomes[i] = once(cmds[i]) })
	}
	wg.Wait()
	return time.Since(began), outcomes
}

func tokens(outcomes []outcome) (distinct, have int) {
	seen := map[string]bool{}
	for _, o := range outcomes {
		if o.token != "" {
			seen[o.token], have = true, have+1
		}
	}
	return len(seen), have
}
