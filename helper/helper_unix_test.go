//go:build unix

package helper_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/helper"
)

func source(t *testing.T, cfg helper.Config) *helper.Source {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Env == nil {
		cfg.Env = credtest.Env(t)
	}
	cfg.Origin = "settings.json"
	s, err := helper.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runs counts those of a command that begins with count.
const count = "echo run >>runs; "

func runs(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

func TestKey(t *testing.T) {
	for _, command := range []string{
		"echo sk-test-key",
		`printf ' \tsk-test-key'`,
		`printf 'sk-test-key\r\n\n'`,
		"echo loud >&2; echo sk-test-key",
		"cat; echo sk-test-key", // standard input is empty
	} {
		tok, err := source(t, helper.Config{Command: command}).Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		h := http.Header{"Authorization": {"old"}, "Anthropic-Beta": {"files-1"}}
		tok.Apply(h)
		if h.Get("X-Api-Key") != "sk-test-key" || h.Get("Authorization") != "Bearer sk-test-key" || h.Get("Anthropic-Beta") != "files-1" {
			t.Errorf("%s: a request would bear %v", command, h)
		}
	}
}

func TestBadHelpers(t *testing.T) {
	tests := []struct {
		name, command string
		kind          error
		says          string
	}{
		{"nothing", "true", evercred.ErrUnsafe, "printed nothing"},
		{"white space", `printf ' \n\t\n'`, evercred.ErrUnsafe, "printed nothing"},
		{"two lines", `printf 'sk-secret-1\nsk-secret-2\n'`, evercred.ErrUnsafe, "several lines"},
		{"a sentence", "echo key: sk-secret-1", evercred.ErrUnsafe, "other characters"},
		{"control characters", `printf 'sk-secret\033[2J'`, evercred.ErrUnsafe, "control"},
		{"NUL", `printf 'sk-secret\000x'`, evercred.ErrUnsafe, "control"},
		{"not ASCII", `printf 'sk-secret\303\251'`, evercred.ErrUnsafe, "other characters"},
		{"1 MB", "head -c 1000000 /dev/zero | tr '\\0' s", evercred.ErrUnsafe, "more than 65536 bytes"},
		{"without end", "yes sk-secret", evercred.ErrUnsafe, "more than 65536 bytes"},
		{"fails", "echo sk-secret; echo sk-secret >&2; exit 3", evercred.ErrUnavailable, "exit status 3"},
		{"fails quietly", "exit 1", evercred.ErrUnavailable, "exit status 1"},
		{"killed", "kill -9 $$", evercred.ErrUnavailable, "signal: killed"},
		{"not found", "no-such-helper-sk-secret", evercred.ErrConfig, "127"},
		{"may not be run", "./plain", evercred.ErrConfig, "126"},
		{"bad syntax", "if; sk-secret", evercred.ErrUnavailable, "exit status 2"},
		{"hangs", "echo sk-secret; exec sleep 1000", evercred.ErrUnavailable, "did not end within 500ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "plain"), []byte("echo sk-secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			timeout := 20 * time.Second
			if tt.name == "hangs" {
				timeout = 500 * time.Millisecond
			}
			_, err := source(t, helper.Config{Command: tt.command, Dir: dir, Timeout: timeout}).Token(t.Context())
			var e *evercred.Error
			if !errors.As(err, &e) || e.Kind != tt.kind || e.Reason != evercred.ReasonHelper || e.Where != "settings.json" || !strings.Contains(e.What, tt.says) {
				t.Errorf("%v", err)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "secret") {
				t.Errorf("the error shows what was printed: %s", text)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []helper.Config{{}, {Command: " \n"}, {Command: "a\x00b"}, {Command: "true", TTL: -1}, {Command: "true", Timeout: -1}} {
		if _, err := helper.New(cfg); !errors.Is(err, evercred.ErrConfig) {
			t.Errorf("%q: %v", cfg.Command, err)
		}
	}
	if _, err := source(t, helper.Config{Command: "true", Dir: filepath.Join(t.TempDir(), "gone")}).Token(t.Context()); !errors.Is(err, evercred.ErrConfig) {
		t.Errorf("a directory that is gone: %v", err)
	}
}

func TestStandardError(t *testing.T) {
	const command = "printf sk-secret >&2; exit 1"
	_, err := source(t, helper.Config{Command: command}).Token(t.Context())
	if err == nil || !strings.Contains(err.Error(), "9 bytes to standard error, which are not shown") {
		t.Errorf("%v", err)
	}
	var shown bytes.Buffer
	_, err = source(t, helper.Config{Command: command, Stderr: &shown}).Token(t.Context())
	if err == nil || strings.Contains(err.Error(), "9 bytes") || shown.String() != "sk-secret" {
		t.Errorf("%v, shown %q", err, shown.String())
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("EVERCRED_TEST_HELPER", "sk-test-inherited")
	s, err := helper.New(helper.Config{Command: "echo $EVERCRED_TEST_HELPER"})
	if err != nil {
		t.Fatal(err)
	}
	if tok, err := s.Token(t.Context()); err != nil || tok.Reveal() != "sk-test-inherited" {
		t.Errorf("the caller's: %v", err)
	}
	s = source(t, helper.Config{Command: `echo "$EVERCRED_TEST_HELPER$MINE"`, Env: []string{"MINE=sk-test-mine"}})
	if tok, err := s.Token(t.Context()); err != nil || tok.Reveal() != "sk-test-mine" {
		t.Errorf("one of its own: %v", err)
	}
	s = source(t, helper.Config{Command: `env | grep -v -e ^PWD= -e ^OLDPWD= -e ^SHLVL= -e ^_= | tr '\n' ,`, Env: append(credtest.Env(t), "MINE=1")})
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(tok.Reveal(), "EVERCRED_TEST_HELPER") || strings.Contains(tok.Reveal(), "ANTHROPIC") {
		t.Errorf("something was added: %s", tok.Reveal())
	}
}

func TestOneRun(t *testing.T) {
	for _, end := range []string{"echo sk-test-key", "exit 1"} {
		dir := t.TempDir()
		s := source(t, helper.Config{Command: count + end, Dir: dir})
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { s.Token(t.Context()) })
		}
		wg.Wait()
		if s.Token(t.Context()); runs(t, dir) != 1 {
			t.Errorf("%s: %d runs for 200 callers", end, runs(t, dir))
		}
	}
}

func TestTTL(t *testing.T) {
	dir := t.TempDir()
	s := source(t, helper.Config{Command: count + "echo sk-test-key", Dir: dir, TTL: time.Nanosecond})
	for range 3 {
		if _, err := s.Token(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := runs(t, dir); n != 3 {
		t.Errorf("%d runs", n)
	}
}

// A 401 brings one more run, and not one more for each request.
func TestOneRetryOn401(t *testing.T) {
	var good string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != good {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	get := func(s *helper.Source) int {
		t.Helper()
		client := http.Client{Transport: &evercred.Transport{Provider: s, Hosts: []string{strings.TrimPrefix(api.URL, "http://")}}}
		resp, err := client.Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	dir := t.TempDir()
	good = "sk-test-2" // the first run prints sk-test-1
	s := source(t, helper.Config{Command: count + "echo sk-test-$(grep -c run runs)", Dir: dir})
	if got := get(s); got != 200 || runs(t, dir) != 2 {
		t.Errorf("%d after %d runs", got, runs(t, dir))
	}
	if got := get(s); got != 200 || runs(t, dir) != 2 {
		t.Errorf("again %d after %d runs", got, runs(t, dir))
	}
	dir, good = t.TempDir(), "none"
	s = source(t, helper.Config{Command: count + "echo sk-test-key", Dir: dir})
	if got := get(s); got != 401 || runs(t, dir) != 2 {
		t.Errorf("a key that is no good: %d after %d runs", got, runs(t, dir))
	}
}

// witness is a FIFO; gone reports whether everybody who had it open has ended.
func witness(t *testing.T, dir string) (gone func() bool) {
	t.Helper()
	path := filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func() bool {
		f.SetReadDeadline(time.Now().Add(10 * time.Second))
		b, err := io.ReadAll(f)
		return err == nil && string(b) == "x\n"
	}
}

// The whole group is ended with the command, whatever it does about SIGTERM.
func TestNothingIsLeftRunning(t *testing.T) {
	for name, command := range map[string]string{
		"a child":               "sleep 1000 & wait",
		"a child alone":         "sleep 1000 & trap 'exit 0' TERM; wait",
		"a child of a child":    "sh -c 'sleep 1000 & wait' & wait",
		"deaf to SIGTERM":       "trap '' TERM; while :; do sleep 0.1; done",
		"a child that is deaf":  "sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & wait",
		"a deaf, silent child":  "sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 & wait",
		"stopped":               "kill -STOP $$",
		"output without reader": "sleep 1000 & yes sk-secret",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			gone := witness(t, dir)
			s := source(t, helper.Config{Command: "exec 3>alive; echo x >&3; " + command, Dir: dir, Timeout: 500 * time.Millisecond})
			begun := time.Now()
			if _, err := s.Token(t.Context()); err == nil {
				t.Error("it gave a key")
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if !gone() {
				t.Error("something is left")
			}
		})
	}
}

// A child that outlives the command, such as an agent, and holds its output
// open, neither hangs us nor is ended.
func TestAgentIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	gone := witness(t, dir)
	s := source(t, helper.Config{Command: "exec 3>alive; (sleep 3; echo x >&3) & echo sk-test-key", Dir: dir})
	begun := time.Now()
	if tok, err := s.Token(t.Context()); err != nil || tok.Reveal() != "sk-test-key" {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > 2500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if !gone() {
		t.Error("the agent did not live to its end")
	}
}

func TestS1NothingPrints(t *testing.T) {
	s := source(t, helper.Config{Command: "echo sk-secret"})
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%s"} {
		if text := fmt.Sprintf(verb, s); text != "helper of settings.json" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
