package claudecode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// The child processes of these tests are this binary again.
const (
	childVar = "EVERCRED_TEST_CHILD" // the verb: "token"
	dirVar   = "EVERCRED_TEST_DIR"
	urlVar   = "EVERCRED_TEST_URL"
	pointVar = "EVERCRED_TEST_POINT" // where it kills itself
	toolVar  = "EVERCRED_TEST_TOOL"  // the stand-in for security: the child goes the ways of macOS
)

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		os.Exit(child())
	}
	credtest.Main(m)
}

// child asks for one token, prints it, and says on standard error what went wrong.
func child() int {
	if p := crash.Point(os.Getenv(pointVar)); p != "" {
		crash.Set(func(at crash.Point) {
			if at == p {
				self, _ := os.FindProcess(os.Getpid())
				self.Kill()
				select {}
			}
		})
	}
	opts := &claudecode.Options{ConfigDir: os.Getenv(dirVar), TokenURL: os.Getenv(urlVar)}
	if tool := os.Getenv(toolVar); tool != "" {
		opts.Seams = &seam.Seams{System: "darwin", Security: tool}
	}
	src, err := claudecode.Open(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer src.Close()
	tok, err := src.Token(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		var e *evercred.Error
		if errors.As(err, &e) {
			fmt.Fprintln(os.Stderr, "reason", e.Reason)
		}
		return 1
	}
	fmt.Println(tok.Reveal())
	return 0
}

// login is a Claude Code login on disk and the endpoint that it came from.
type login struct {
	t       *testing.T
	dir     string // the storage directory
	ep      *credtest.Endpoint
	id      int
	before  []byte
	foreign []string
}

// newLogin lays a login whose access token ends in left.
func newLogin(t *testing.T, left time.Duration, b credtest.Behaviour) *login {
	t.Helper()
	l := &login{t: t, dir: filepath.Join(t.TempDir(), "claude"), ep: credtest.NewEndpoint(t, &credtest.EndpointOptions{Behaviour: b})}
	first := l.ep.LoginFor(claudecode.ClientID)
	l.id = first.ID
	l.foreign = []string{`"mcpOAuth": {"srv": {"refreshToken": "neighbour-secret", "n": 1.50, "big": 12345678901234567890}}`, `"x\u00e9":[ 1,2 ]`, `"subscriptionType":"max"`}
	l.before = document(first.Access, first.Refresh, time.Now().Add(left), l.foreign)
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.write(l.before)
	t.Cleanup(l.check)
	return l
}

func (l *login) path() string { return filepath.Join(l.dir, ".credentials.json") }

func (l *login) write(doc []byte) {
	l.t.Helper()
	if err := os.WriteFile(l.path(), doc, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *login) stored() evercred.Credential {
	l.t.Helper()
	doc, err := os.ReadFile(l.path())
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := claudecode.Codec{}.Decode(doc)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func (l *login) open(change ...func(*claudecode.Options)) *evercred.Source {
	l.t.Helper()
	o := &claudecode.Options{ConfigDir: l.dir, TokenURL: l.ep.URL()}
	for _, c := range change {
		c(o)
	}
	s, err := claudecode.Open(o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { s.Close() })
	return s
}

// result is what became of a child.
type result struct {
	token  string
	killed bool
	reason string
	text   string
	took   time.Duration
}

func (l *login) command(point crash.Point) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(credtest.Env(l.t), childVar+"=token", dirVar+"="+l.dir, urlVar+"="+l.ep.URL(), pointVar+"="+string(point))
	return cmd
}

func (l *login) child(point crash.Point) result {
	l.t.Helper()
	return run(l.command(point))
}

// run awaits a child.
func run(cmd *exec.Cmd) result {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	r := result{token: strings.TrimSpace(out.String()), text: errs.String(), took: time.Since(began)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		ws, ok := exit.Sys().(syscall.WaitStatus)
		r.killed = ok && (ws.Signaled() && ws.Signal() == syscall.SIGKILL || runtime.GOOS == "windows" && ws.ExitStatus() == 1 && errs.Len() == 0)
	}
	if _, reason, ok := strings.Cut(r.text, "reason "); ok {
		r.reason = strings.TrimSpace(reason)
	}
	return r
}

// check is the oracle that runs after every test (PROOF): the document parses,
// foreign bytes are the same, the newest answered refresh token is on disk,
// nothing is left over.
func (l *login) check() {
	l.t.Helper()
	doc, err := os.ReadFile(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return // the test logged out
	}
	for _, f := range l.foreign {
		if !bytes.Contains(doc, []byte(f)) {
			l.t.Errorf("foreign bytes changed: %s is gone", f)
		}
	}
	info, err := os.Stat(l.path())
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		l.t.Errorf("mode %v %v", info.Mode(), err)
	}
	if _, err := (claudecode.Codec{}).Decode(doc); err != nil {
		l.t.Errorf("the document does not parse: %v", err)
	}
	if newest := l.ep.Newest(l.id); newest != "" && l.ep.Alive(newest) && !bytes.Contains(doc, []byte(newest)) && !l.escrowed() {
		l.t.Error("the newest refresh token that was answered is neither stored nor in the escrow")
	}
	l.leftovers()
}

func (l *login) leftovers() {
	l.t.Helper()
	filepath.WalkDir(filepath.Dir(l.dir), func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp-") || strings.HasPrefix(name, "lock-") {
			l.t.Errorf("left over: %s", path)
		}
		if err == nil && !d.IsDir() && strings.Contains(path, ".evercred") && !strings.HasSuffix(name, ".open") {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("sk-ant-o")) {
				l.t.Errorf("a secret is left in %s", path)
			}
		}
		return nil
	})
}

// escrowed: an open attempt holds an answer.
func (l *login) escrowed() bool {
	var s *seam.Seams
	pending, _ := ledger.Open(l.dir, ".credentials.json", s.Filled()).Pending()
	return pending
}

func (l *login) noOpenAttempts() {
	l.t.Helper()
	open, _ := filepath.Glob(filepath.Join(l.dir, ".evercred", "*", "*.open"))
	if len(open) > 0 {
		l.t.Errorf("open attempts are left: %v", open)
	}
}

func (l *login) grants(want int) {
	l.t.Helper()
	if got := l.ep.Grants(); got != want {
		l.t.Errorf("%d grants, want %d", got, want)
	}
}

// document is a login as the owner writes it, with the neighbours of every test.
func document(access, refresh string, expires time.Time, foreign []string) []byte {
	return fmt.Appendf(nil, "{\n  %s,\n  %s,\n  \"claudeAiOauth\": {\"accessToken\":%q,\"refreshToken\":%q,\"expiresAt\":%d,\"scopes\":[\"user:inference\"],%s}\n}\n",
		foreign[0], foreign[1], access, refresh, expires.UnixMilli(), foreign[2])
}

// blank does what the owner does when the endpoint refuses it (INTEROP §2).
func (l *login) blank() {
	l.t.Helper()
	c := l.stored()
	doc, _ := os.ReadFile(l.path())
	doc = bytes.ReplaceAll(doc, []byte(`"`+c.Access.Reveal()+`"`), []byte(`""`))
	doc = bytes.ReplaceAll(doc, []byte(`"`+c.Refresh.Reveal()+`"`), []byte(`""`))
	doc = bytes.ReplaceAll(doc, fmt.Appendf(nil, "%d", c.Expires.UnixMilli()), []byte("0"))
	l.write(doc)
}

// logout does what the owner does (INTEROP §2): the whole file goes.
func (l *login) logout() {
	l.t.Helper()
	if err := os.Remove(l.path()); err != nil {
		l.t.Fatal(err)
	}
}
