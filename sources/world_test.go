package sources_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/sources"
)

// No test may open a real login. The programs of the owners, and the processes
// that need them, are this binary again.
func TestMain(m *testing.M) {
	if os.Getenv(modeVar) != "" && isOwner() {
		os.Exit(owner())
	}
	if os.Getenv(childVar) != "" {
		os.Exit(child())
	}
	credtest.Main(m)
}

// world is a machine: a home, an environment, a disk that counts.
type world struct {
	t     testing.TB
	home  string
	env   map[string]string
	disk  *faulty.FS
	times timing.Protocol
}

func newWorld(t testing.TB) *world {
	home := t.TempDir()
	w := &world{t: t, home: home, disk: &faulty.FS{Under: fsys.Default()}, times: timing.Default()}
	w.env = map[string]string{"HOME": home, "USERPROFILE": home, "APPDATA": filepath.Join(home, ".config")}
	return w
}

func (w *world) lookup(name string) (string, bool) { v, ok := w.env[name]; return v, ok }

func (w *world) environ() []string {
	env := credtest.Env(w.t)
	for name, value := range w.env {
		env = append(env, name+"="+value)
	}
	return env
}

func (w *world) options() *sources.Options {
	return &sources.Options{
		Options:   evercred.Options{Seams: &seam.Seams{FS: w.disk, Times: &w.times}, RefreshTimeout: 5 * time.Second},
		LookupEnv: w.lookup, Environ: w.environ, Managed: []string{w.path("managed.json")},
	}
}

func (w *world) path(names ...string) string {
	return filepath.Join(append([]string{w.home}, names...)...)
}

// profiles is the directory of the Anthropic profiles.
func (w *world) profiles(names ...string) string {
	dir := "anthropic"
	if runtime.GOOS == "windows" {
		dir = "Anthropic"
	}
	return w.path(append([]string{".config", dir}, names...)...)
}

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(path string) {
	w.t.Helper()
	if err := os.Remove(path); err != nil {
		w.t.Fatal(err)
	}
}

// login lays one of Claude Code's.
func (w *world) login(left time.Duration) string {
	path := w.path(".claude", ".credentials.json")
	w.write(path, document("stored", left))
	return path
}

func document(name string, left time.Duration) string {
	return fmt.Sprintf(`{"claudeAiOauth":{"accessToken":"sk-ant-oat01-secret-%s","refreshToken":"sk-ant-ort01-secret-%s","expiresAt":%d,"scopes":["user:inference"]},"mcpOAuth":{"a":1}}`,
		name, name, time.Now().Add(left).UnixMilli())
}

// profile lays one with a login.
func (w *world) profile(name string, left time.Duration) string {
	w.write(w.profiles("configs", name+".json"), `{"version":"1.0","authentication":{"type":"user_oauth","client_id":"client"}}`)
	path := w.profiles("credentials", name+".json")
	w.write(path, credentials(name, left))
	return path
}

func credentials(name string, left time.Duration) string {
	return fmt.Sprintf(`{"version":"1.0","type":"oauth_token","access_token":"sk-ant-oat01-secret-%s","refresh_token":"sk-ant-ort01-secret-%s","expires_at":%d,"scope":"user:inference"}`,
		name, name, time.Now().Add(left).Unix())
}

// helperCommand is one that prints a key and leaves a trace in a file.
func (w *world) helperCommand() (command, trace string) {
	trace = w.path("helper-ran")
	return fmt.Sprintf("echo x >> '%s'; echo sk-ant-api03-secret-helper", trace), trace
}

func (w *world) settings(command string) {
	text, _ := json.Marshal(map[string]string{"apiKeyHelper": command})
	w.write(w.path(".claude", "settings.json"), string(text))
}

// federate sets federation up in the environment, and counts the exchanges.
func (w *world) federate() {
	for name, value := range map[string]string{
		"ANTHROPIC_FEDERATION_RULE_ID": "fdrl_test", "ANTHROPIC_ORGANIZATION_ID": "org-test", "ANTHROPIC_IDENTITY_TOKEN": "secret-identity",
	} {
		w.env[name] = value
	}
}

// exchanger is a token endpoint that gives whoever asks a token.
type exchanger struct {
	*httptest.Server
	requests atomic.Int32
	params   atomic.Pointer[map[string]string]
}

func newExchanger(t testing.TB) *exchanger {
	e := new(exchanger)
	e.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		params := map[string]string{}
		json.NewDecoder(r.Body).Decode(&params)
		e.params.Store(&params)
		fmt.Fprintf(rw, `{"access_token":"sk-ant-oat01-secret-exchanged-%d","token_type":"Bearer","expires_in":600}`, e.requests.Add(1))
	}))
	t.Cleanup(e.Close)
	return e
}

func (w *world) open(name string, opts *sources.Options) *sources.Source {
	w.t.Helper()
	s, err := sources.Open(name, opts)
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

func unix(t testing.TB) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell and signals")
	}
}
