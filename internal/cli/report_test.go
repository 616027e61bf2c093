package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/docs"
)

// reasons are those that errors.go declares, read from its source: there is no
// list that could be forgotten.
func reasons(t *testing.T) []evercred.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []evercred.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Names) != 1 || !strings.HasPrefix(v.Names[0].Name, "Reason") {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, evercred.Reason(text))
		return true
	})
	if len(list) < 30 {
		t.Fatalf("only %d reasons were found", len(list))
	}
	return list
}

// TestEveryReasonIsExplained: a section for each reason, and no section for
// what is none.
func TestEveryReasonIsExplained(t *testing.T) {
	want := reasons(t)
	have := docs.Reasons()
	for _, r := range want {
		page, ok := docs.Troubleshooting(string(r))
		switch {
		case !ok:
			t.Errorf("docs/troubleshooting.md has no section %s", r)
		case !strings.Contains(page, "Exit code") || !strings.Contains(page, "What to do:"):
			t.Errorf("section %s lacks its exit code or what to do", r)
		}
		if r != evercred.ReasonBug && r != evercred.ReasonClosed && remedy(r, madeBy("")) == remedy(evercred.ReasonBug, madeBy("")) {
			t.Errorf("%s has no remedy", r)
		}
	}
	for _, section := range have {
		if !slices.Contains(want, evercred.Reason(section)) {
			t.Errorf("section %s is about no reason", section)
		}
	}
	if len(have) != len(want) {
		t.Errorf("%d sections for %d reasons", len(have), len(want))
	}
}

// TestReasonsAreNoVerbs: evercred help could not tell them apart.
func TestReasonsAreNoVerbs(t *testing.T) {
	for _, v := range append([]string{"help", "completion"}, names(verbs())...) {
		if slices.Contains(docs.Reasons(), v) {
			t.Errorf("%s is a verb and a reason", v)
		}
	}
}

func names(verbs []verb) []string {
	var list []string
	for _, v := range verbs {
		list = append(list, v.name)
	}
	return list
}

// TestExitCodes is the table of DESIGN §7.
func TestExitCodes(t *testing.T) {
	as := func(kind error, reason evercred.Reason, cause error) error {
		return &evercred.Error{Kind: kind, Reason: reason, Err: cause}
	}
	table := []struct {
		err  error
		want int
	}{
		{as(evercred.ErrConfig, evercred.ReasonUsage, nil), 2},
		{as(evercred.ErrNotFound, evercred.ReasonNoFile, nil), 3},
		{as(evercred.ErrLoginRequired, evercred.ReasonBlanked, nil), 4},
		{as(evercred.ErrUnavailable, evercred.ReasonUnreachable, nil), 5},
		{as(evercred.ErrLocked, evercred.ReasonLocked, nil), 6},
		{as(evercred.ErrUnsafe, evercred.ReasonCannotSave, nil), 7},
		{as(evercred.ErrConflict, evercred.ReasonConflict, nil), 7},
		{as(evercred.ErrUnavailable, evercred.ReasonBug, nil), 1},
		{as(evercred.ErrUnsafe, evercred.ReasonBug, nil), 1},
		{errors.New("anything"), 1},
		{context.DeadlineExceeded, 5},
		{fmt.Errorf("the check: %w", errCondition), 8},
		{&advised{err: errCondition}, 8},
		// The outermost decides, whatever its cause matches.
		{as(evercred.ErrUnsafe, evercred.ReasonCannotSave, evercred.ErrNotSent), 7},
		{as(evercred.ErrLocked, evercred.ReasonTimeout, context.DeadlineExceeded), 6},
		{fmt.Errorf("wrapped: %w", as(evercred.ErrLoginRequired, evercred.ReasonRefused, as(evercred.ErrUnavailable, evercred.ReasonTimeout, nil))), 4},
		{usage("no").advise("so"), 2},
	}
	for _, row := range table {
		if got := exitCode(row.err); got != row.want {
			t.Errorf("%v: %d, want %d", row.err, got, row.want)
		}
	}
}

// TestReport: one line of what, one of what to do, whatever the names of files
// and hosts hold.
func TestReport(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 2, 28, 0, time.Local)
	var out bytes.Buffer
	a := &app{stderr: &out, now: func() time.Time { return now }}
	table := []struct {
		err  error
		want string
	}{
		{
			&evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonRateLimited, What: "the endpoint asks for a pause", RetryAt: now.Add(42 * time.Second)},
			"evercred: the endpoint asks for a pause\nhint: try again after 14:03:10, in 42 s; see `evercred help rate-limited`\n",
		},
		{
			&evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonSpacing, What: "too soon", RetryAt: now.Add(-time.Second)},
			"evercred: too soon\nhint: try again now; see `evercred help spacing`\n",
		},
		{
			&evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "no such file", Where: "/home/\x1b[2Jx\ny\u202e"},
			"evercred: no such file, /home/\\x1b[2Jx\\ny\\u202e\nhint: " + remedy(evercred.ReasonNoFile, madeBy("")) + "; see `evercred help no-file`\n",
		},
		{
			&advised{err: fmt.Errorf("three things: %w", errCondition), advice: "mend them"},
			"evercred: three things: the asked condition does not hold\nhint: mend them\n",
		},
	}
	for _, row := range table {
		out.Reset()
		a.report(row.err)
		if out.String() != row.want {
			t.Errorf("got  %q\nwant %q", out.String(), row.want)
		}
	}
}

// TestPanic: exit 1, and nothing of a value that may hold a secret.
func TestPanic(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: &out, now: time.Now}
	code := func() (code int) {
		defer func() { code = a.end(panicked(recover())) }()
		panic("sk-ant-ort01-test-secret")
	}()
	if code != exitBug || strings.Contains(out.String(), "secret") || !strings.Contains(out.String(), "goroutine") {
		t.Errorf("%d, %s", code, &out)
	}
}

func TestRelative(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 s", 400 * time.Millisecond: "1 s", 42 * time.Second: "42 s", 59*time.Second + 700*time.Millisecond: "1 min",
		time.Minute: "1 min", 59*time.Minute + 59*time.Second: "59 min", time.Hour: "1 h 0 min",
		7*time.Hour + 59*time.Minute + 59*time.Second: "7 h 59 min", 48 * time.Hour: "2 days", -90 * time.Second: "1 min",
	} {
		if got := relative(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// TestEveryFlagHasItsVariable, but for those that a project's environment file
// must not set (FAILURES S7).
func TestEveryFlagHasItsVariable(t *testing.T) {
	for _, flag := range []string{"force", "fix", "allow-token-host", "allow-file-mount", "allow-anything"} {
		if hasVariable(flag) {
			t.Errorf("--%s has a variable", flag)
		}
	}
	for flag, want := range map[string]string{"token-url": "EVERCRED_TOKEN_URL", "json": "EVERCRED_JSON", "read-only": "EVERCRED_READ_ONLY"} {
		if !hasVariable(flag) || variableOf(flag) != want {
			t.Errorf("--%s: %s", flag, variableOf(flag))
		}
	}
}

// TestOneVerbIsEnough: with the others left out, a verb is the same.
func TestOneVerbIsEnough(t *testing.T) {
	for _, v := range verbs() {
		run := func(args ...string) string {
			var out bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out, now: time.Now}
			a.main(args)
			return out.String()
		}
		alone, among := run(v.name, "--help"), run("help", v.name)
		if alone != among || !strings.Contains(alone, "evercred "+v.name) {
			t.Errorf("%s:\n%s\nand\n%s", v.name, alone, among)
		}
	}
}
