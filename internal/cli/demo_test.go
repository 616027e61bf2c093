package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/owner/claudecode"
)

// helperVar makes this binary be evercred, or a broken one.
const helperVar = "EVERCRED_TEST_HELPER"

func TestMain(m *testing.M) {
	if how := os.Getenv(helperVar); how != "" {
		os.Exit(helper(how, os.Args[1:]))
	}
	credtest.Main(m)
}

// helper is evercred with one fault.
func helper(fault string, args []string) int {
	honest := func(args []string) int { return Main(args, os.Stdin, os.Stdout, os.Stderr, os.Environ()) }
	dies := slices.Index(args, "--die-at")
	switch {
	case fault == "greedy" && dies < 0:
		return greedy(args)
	case fault == "immortal" && dies >= 0: // runs `token` where it should die on its way
		return honest(append([]string{"token"}, args[dies+2:]...))
	case fault == "early" && dies >= 0: // dies before it has asked
		args[dies+1] = "during-lock"
	case fault == "tidy":
		code := honest(args)
		reformat(flagOf(args, "--config-dir"))
		return code
	case fault == "vague":
		code := honest(args)
		fmt.Println("sk-ant-oat01-test-another")
		return code
	}
	return honest(args)
}

func flagOf(args []string, name string) string { return args[slices.Index(args, name)+1] }

// greedy spends the stored refresh token without a lock, as simple tools do.
func greedy(args []string) int {
	doc, err := os.ReadFile(filepath.Join(flagOf(args, "--config-dir"), ".credentials.json"))
	if err != nil {
		return 7
	}
	c, err := claudecode.Codec{}.Decode(doc)
	if err != nil {
		return 7
	}
	body, _ := json.Marshal(map[string]string{"grant_type": "refresh_token", "refresh_token": c.Refresh.Reveal(), "client_id": claudecode.ClientID})
	resp, err := http.Post(flagOf(args, "--token-url"), "application/json", bytes.NewReader(body))
	if err != nil {
		return 5
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	json.NewDecoder(resp.Body).Decode(&answer)
	fmt.Println(answer.AccessToken)
	return 0
}

// reformat writes the document as a program does that parses all of it.
func reformat(dir string) {
	file := filepath.Join(dir, ".credentials.json")
	doc, err := os.ReadFile(file)
	if err != nil {
		return
	}
	os.WriteFile(file, bytes.Replace(doc, []byte("1.50"), []byte("1.5"), 1), 0o600)
}

// played is what came of a demo.
type played struct {
	code           int
	stdout, stderr string
	report         demoJSON
	processes      []*exec.Cmd
	left           []string // in the temporary directory
}

// playDemo runs a small demo with children that have a fault; "none": none.
// onStart is called as each of them is about to start.
func playDemo(t *testing.T, fault string, asJSON bool, onStart func(n int)) played {
	t.Helper()
	tmp := t.TempDir()
	var p played
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, environ: os.Environ()}
	started := make(chan *exec.Cmd, 100)
	err := runDemo(a, demoOptions{json: asJSON, processes: 6, temp: tmp, again: func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], args...)
		cmd.Env = []string{helperVar + "=" + fault, "GORACE=atexit_sleep_ms=0"}
		started <- cmd
		if onStart != nil {
			onStart(len(started))
		}
		return cmd
	}})
	close(started)
	for cmd := range started {
		p.processes = append(p.processes, cmd)
	}
	p.stdout, p.stderr = out.String(), errs.String()
	if asJSON && out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &p.report); err != nil {
			t.Fatalf("%v: %s", err, p.stdout)
		}
	}
	entries, _ := os.ReadDir(tmp)
	for _, e := range entries {
		p.left = append(p.left, e.Name())
	}
	p.code = -1
	if _, signalled := err.(*interrupted); !signalled {
		p.code = a.end(err)
	}
	p.nothingLeft(t)
	return p
}

// nothingLeft: no file, no process, no secret.
func (p played) nothingLeft(t *testing.T) {
	t.Helper()
	if len(p.left) > 0 {
		t.Errorf("left behind: %v", p.left)
	}
	for _, cmd := range p.processes {
		if cmd.Process != nil && cmd.ProcessState == nil {
			t.Errorf("a child was not awaited: %v", cmd.Args)
		}
	}
	if strings.Contains(p.stdout+p.stderr, "sk-ant-") {
		t.Error("a token was printed")
	}
}

func (p played) scene(t *testing.T, name string) sceneJSON {
	t.Helper()
	for _, c := range p.report.Scenes {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no scene %s: %s", name, p.stdout)
	return sceneJSON{}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	p := playDemo(t, "none", true, nil)
	if p.code != 0 || !p.report.OK || p.stderr != "" {
		t.Fatalf("code %d: %s%s", p.code, p.stdout, p.stderr)
	}
	if r := p.report; r.Version != 1 || r.Processes != len(p.processes) || r.Grants != 4 || r.Reuses != 0 || len(r.Scenes) != 5 {
		t.Errorf("%+v", r)
	}
	if c := p.scene(t, "one-grant"); c.Tokens != 6 || c.Grants != 1 || c.Requests != 1 {
		t.Errorf("%+v", c)
	}
	if c := p.scene(t, "takeover"); c.Takeover <= 0 {
		t.Errorf("%+v", c)
	}
	if c := p.scene(t, "neighbours"); c.Foreign < 4*300 {
		t.Errorf("%+v", c)
	}
}

func TestDemoTable(t *testing.T) {
	t.Parallel()
	p := playDemo(t, "none", false, nil)
	for _, want := range []string{"6 processes ask at once", "6 tokens, all the same", "1 grant ", "401, then 200", "nothing was left behind"} {
		if !strings.Contains(p.stdout, want) {
			t.Errorf("%q is not in:\n%s", want, p.stdout)
		}
	}
	if strings.Contains(p.stdout+p.stderr, "\x1b") || strings.Contains(p.stderr, "\r") {
		t.Errorf("colours or progress outside of a terminal: %q%q", p.stdout, p.stderr)
	}
}

// Every promise can be seen to be broken: exit 1, and the scene is named.
func TestDemoFallsShort(t *testing.T) {
	for fault, scenes := range map[string]map[string]string{
		"greedy": {
			"one-grant": "requests for",
			"escrow":    "the next process's token is not the stored one",
			"takeover":  "the locks that the dead process left were not taken over",
		},
		"immortal": {
			"escrow":   "the process was not killed",
			"takeover": "the killed process left no locks",
		},
		"early": {"escrow": "the killed process left no answer behind"},
		"tidy":  {"neighbours": "what is not ours changed"},
		"vague": {"one-grant": "the token that they got is not the stored one"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			p := playDemo(t, fault, true, nil)
			if p.code != exitBug || p.report.OK {
				t.Errorf("code %d: %s", p.code, p.stdout)
			}
			for name, short := range scenes {
				c := p.scene(t, name)
				if c.OK || !strings.Contains(strings.Join(c.Short, "\n"), short) {
					t.Errorf("%+v", c)
				}
				if !strings.Contains(p.stderr, "demo: "+c.Title+": ") || !strings.Contains(p.stderr, short) {
					t.Errorf("not told: %s", p.stderr)
				}
			}
		})
	}
}

// Nobody must be able to lose a real login with the verb that dies.
func TestDemoChildIsForLoopback(t *testing.T) {
	for _, address := range []string{"", "https://platform.claude.com/v1/oauth/token", "https://127.0.0.1.example.com/t", "http://localhost/t"} {
		var errs bytes.Buffer
		args := []string{"demo", "child", "--die-at", "after-answer", "--config-dir", t.TempDir()}
		if address != "" {
			args = append(args, "--token-url", address)
		}
		if code := Main(args, nil, io.Discard, &errs, nil); code != exitConfig {
			t.Errorf("%q: code %d: %s", address, code, &errs)
		}
	}
}

// The children see nothing of our environment.
func TestDemoEnvironment(t *testing.T) {
	s := &stage{app: &app{environ: []string{"ANTHROPIC_API_KEY=x", "HTTPS_PROXY=x", "PATH=x", "SYSTEMROOT=x"}}, dir: t.TempDir()}
	for _, v := range s.environ() {
		if name, value, _ := strings.Cut(v, "="); value != s.home() && name != "SYSTEMROOT" {
			t.Errorf("%s=%s", name, value)
		}
	}
}
