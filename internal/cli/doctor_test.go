package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/sources"
)

const (
	wardAccess  = "sk-ant-oat01-test-doctor"
	wardRefresh = "sk-ant-ort01-test-doctor"
)

// ward is a login to be examined: fresh and in order at first.
type ward struct {
	t         *testing.T
	dir, file string
	env       []string
}

func newWard(t *testing.T) *ward {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &ward{t: t, dir: filepath.Join(home, "claude")}
	w.file = filepath.Join(w.dir, ".credentials.json")
	w.env = []string{"HOME=" + home, "USERPROFILE=" + home}
	w.must(os.Mkdir(w.dir, 0o700), os.Chmod(home, 0o755))
	w.write(`"scopes":["user:inference"]`)
	return w
}

func (w *ward) must(errs ...error) {
	w.t.Helper()
	for _, err := range errs {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// write lays the login with further members. It seems to have rested: a document
// that changed a moment ago is read again when it does not parse.
func (w *ward) write(more string) {
	w.t.Helper()
	w.writeRaw(fmt.Sprintf(`{"claudeAiOauth":{"accessToken":%q,"refreshToken":%q,"expiresAt":%d,%s}}`,
		wardAccess, wardRefresh, time.Now().Add(5*time.Hour).UnixMilli(), more))
}

func (w *ward) writeRaw(doc string) {
	w.t.Helper()
	hourAgo := time.Now().Add(-time.Hour)
	w.must(os.WriteFile(w.file, []byte(doc), 0o600), os.Chtimes(w.file, hourAgo, hourAgo))
}

func (w *ward) lockPath(n int) string {
	return []string{filepath.Join(w.dir, ".oauth_refresh.lock"), w.dir + ".lock", filepath.Join(w.dir, ".storage-write.lock")}[n]
}

func (w *ward) book() *ledger.Ledger {
	var real *seam.Seams
	return ledger.Open(w.dir, filepath.Base(w.file), real.Filled())
}

// guarded lets f write records under the guard.
func (w *ward) guarded(f func(*ledger.Guard)) {
	w.t.Helper()
	g, err := w.book().TryGuard()
	w.must(err)
	f(g)
	w.must(g.Release())
}

// diagnosis is what the doctor said.
type diagnosis struct {
	doctorJSON
	t    *testing.T
	code int
	text string
}

// doctor runs the verb, which must print no secret and, without --fix, touch nothing.
func (w *ward) doctor(args ...string) diagnosis {
	w.t.Helper()
	before := everything(w.t, filepath.Dir(w.dir))
	code, out := w.main(append([]string{"doctor", "--json", "--config-dir", w.dir}, args...)...)
	if after := everything(w.t, filepath.Dir(w.dir)); after != before && !slices.Contains(args, "--fix") {
		w.t.Errorf("touched:\n%s\nwas:\n%s", after, before)
	}
	return w.diagnosis(code, out)
}

func (w *ward) diagnosis(code int, out string) diagnosis {
	w.t.Helper()
	d := diagnosis{t: w.t, code: code, text: out}
	if err := json.Unmarshal([]byte(out), &d.doctorJSON); err != nil {
		w.t.Fatalf("%v: %q", err, out)
	}
	if d.Version != 1 || d.OK != (code == 0) || code != 0 && code != exitCondition {
		w.t.Errorf("code %d: %s", code, out)
	}
	return d
}

func (w *ward) main(args ...string) (code int, out string) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(args, nil, &stdout, &stderr, w.env)
	if stderr.Len() > 0 {
		w.t.Errorf("standard error: %s", &stderr)
	}
	if strings.Contains(stdout.String(), "sk-ant-") {
		w.t.Errorf("a secret: %s", &stdout)
	}
	return code, stdout.String()
}

// everything is the names, modes, owners, times and sizes below dir.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := fsys.OS{}.Lstat(path)
		fmt.Fprintf(&b, "%s %v %d %d %d %v\n", path, i.Mode, i.UID, i.GID, i.Size, i.ModTime)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (d diagnosis) find(id string) (finding, bool) {
	i := slices.IndexFunc(d.Findings, func(f finding) bool { return f.ID == id && f.Level != levelOK })
	if i < 0 {
		return finding{}, false
	}
	return d.Findings[i], true
}

// wants one finding of that kind and level, whose words hold each of these, and
// which says a fix.
func (d diagnosis) wants(at level, id string, words ...string) {
	d.t.Helper()
	f, ok := d.find(id)
	if !ok || f.Level != at || f.Fix == "" || d.code != exitCondition {
		d.t.Errorf("no %s %s, code %d: %s", at, id, d.code, d.text)
	}
	for _, word := range words {
		if !strings.Contains(f.What+" "+f.Where+" "+f.Fix, word) {
			d.t.Errorf("%q is not in %+v", word, f)
		}
	}
}

// healthy: nothing to complain about.
func (d diagnosis) healthy() {
	d.t.Helper()
	if !d.OK || d.code != 0 {
		d.t.Errorf("code %d: %s", d.code, d.text)
	}
}

// says that a finding which is no complaint holds these words.
func (d diagnosis) says(words string) {
	d.t.Helper()
	for _, f := range d.Findings {
		if f.Level == levelOK && strings.Contains(f.What, words) {
			return
		}
	}
	d.t.Errorf("%q is not in %s", words, d.text)
}

func TestDoctorHealthy(t *testing.T) {
	w := newWard(t)
	d := w.doctor()
	d.healthy()
	for _, words := range []string{"the access token is good", "private and yours", "not open to everybody", "can be saved", "locks of Claude Code are free", "no records here"} {
		d.says(words)
	}
	w.guarded(func(*ledger.Guard) {})
	d = w.doctor()
	d.healthy()
	d.says("records of evercred are in order")
}

func TestDoctorText(t *testing.T) {
	w := newWard(t)
	w.must(os.Mkdir(w.lockPath(1), 0o700), os.Chtimes(w.lockPath(1), time.Time{}, time.Now().Add(time.Hour)))
	code, out := w.main("doctor", "--config-dir", w.dir)
	lines := strings.Split(out, "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "bad   a lock of Claude Code") })
	if code != exitCondition || i < 0 || lines[i+1] != "      fix: if nobody is refreshing: rmdir "+w.lockPath(1) {
		t.Errorf("code %d:\n%s", code, out)
	}
	if !strings.Contains(out, "ok    the access token is good") {
		t.Error(out)
	}
}

// The state of the login, in the words of the library.
func TestDoctorLogin(t *testing.T) {
	ms := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).UnixMilli()) }
	for name, c := range map[string]struct {
		doc   string
		level level
		id    string
		words []string
	}{
		"absent":      {"", levelBad, "no-file", nil},
		"no section":  {`{"mcpOAuth":{}}`, levelBad, "no-section", nil},
		"F6 garbage":  {`{"claudeAiOauth":`, levelBad, "unreadable", nil},
		"blanked":     {`{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`, levelBad, "blanked", nil},
		"no refresh":  {`{"claudeAiOauth":{"accessToken":"a","expiresAt":` + ms(time.Hour) + `}}`, levelWarn, "no-refresh-token", nil},
		"R17 near":    {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"b","expiresAt":` + ms(time.Hour) + `,"refreshTokenExpiresAt":` + ms(49*time.Hour) + `}}`, levelWarn, "deadline", []string{"in 2 days", "claude auth login"}},
		"R17 passed":  {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"b","expiresAt":` + ms(time.Hour) + `,"refreshTokenExpiresAt":` + ms(-time.Hour) + `}}`, levelBad, "deadline", nil},
		"R17 dead":    {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"b","expiresAt":1,"refreshTokenExpiresAt":` + ms(-time.Hour) + `}}`, levelBad, "deadline", nil},
		"odd scopes":  {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"b","expiresAt":` + ms(time.Hour) + `,"scopes":"x y"}}`, levelWarn, "document", []string{"scopes", "string"}},
		"odd seconds": {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"b","expiresAt":1790000000}}`, levelWarn, "document", []string{"2000"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			if w.writeRaw(c.doc); c.doc == "" {
				w.must(os.Remove(w.file))
			}
			w.doctor().wants(c.level, c.id, c.words...)
		})
	}
}

// A clock that is behind makes a dead token look alive (R18).
func TestDoctorClock(t *testing.T) {
	w := newWard(t)
	w.must(os.Chtimes(w.file, time.Time{}, time.Now().Add(3*time.Hour)))
	w.doctor().wants(levelWarn, "clock", "in the future")
}

func TestDoctorEnvironment(t *testing.T) {
	w := newWard(t)
	w.env = append(w.env, "ANTHROPIC_API_KEY=sk-ant-api03-test", "CLAUDE_SECURESTORAGE_CONFIG_DIR=/elsewhere")
	d := w.doctor()
	d.wants(levelWarn, "shadowed", "ANTHROPIC_API_KEY")
	d.wants(levelWarn, "location", "CLAUDE_SECURESTORAGE_CONFIG_DIR")

	w = newWard(t)
	w.env = append(w.env, "CLAUDE_CONFIG_DIR=", "CLAUDE_CODE_USE_BEDROCK=1")
	code, out := w.main("doctor", "--json")
	d = w.diagnosis(code, out)
	d.wants(levelBad, "config-dir")
	d.wants(levelWarn, "shadowed", "BEDROCK")

	w = newWard(t)
	w.env = append(w.env, "EVERCRED_TOKEN_URL=https://example.com/t") // S7
	w.doctor().wants(levelBad, "token-host", "example.com", "EVERCRED_TOKEN_URL")
}

// F2, F12: where a link leads.
func TestDoctorF2Links(t *testing.T) {
	w := newWard(t)
	real := filepath.Join(filepath.Dir(w.dir), "dotfiles")
	w.must(os.Mkdir(real, 0o700), os.Rename(w.file, filepath.Join(real, "login.json")), os.Symlink("../dotfiles/login.json", w.file))
	w.doctor().wants(levelWarn, "link", filepath.Join(real, "login.json"), "CLAUDE_CONFIG_DIR")

	w.must(os.Remove(filepath.Join(real, "login.json")))
	w.doctor().wants(levelBad, "no-file", "dotfiles")

	w.must(os.Remove(w.file), os.Symlink(".credentials.json", w.file))
	w.doctor().wants(levelBad, "link-loop")
}

// strangeDisk answers differently from the real one.
type strangeDisk struct {
	fsys.FS
	lstat func(string, *fsys.Info)
	kind  fsys.Kind
}

func (d strangeDisk) Lstat(name string) (fsys.Info, error) {
	i, err := d.FS.Lstat(name)
	if d.lstat != nil {
		d.lstat(name, &i)
	}
	return i, err
}

func (d strangeDisk) Kind(name string) (fsys.Kind, error) {
	if d.kind.Name != "" {
		return d.kind, nil
	}
	return d.FS.Kind(name)
}

// on examines the login on a strange disk.
func (w *ward) on(disk strangeDisk, allowFileMount bool) diagnosis {
	w.t.Helper()
	disk.FS = fsys.OS{}
	a := &app{environ: w.env, now: time.Now}
	a.common = commonFlags{source: sources.ClaudeCode, configDir: w.dir, timeout: 10 * time.Second, allowFileMount: allowFileMount}
	j := doctorJSON{Findings: a.examine((&seam.Seams{FS: disk}).Filled()).findings}
	text, _ := json.Marshal(j)
	return diagnosis{doctorJSON: j, t: w.t, code: exitCondition, text: string(text)}
}

// F3: the file alone is a mount point.
func TestDoctorF3FileMount(t *testing.T) {
	w := newWard(t)
	mounted := strangeDisk{lstat: func(name string, i *fsys.Info) { i.MountRoot = name == w.file }}
	w.on(mounted, false).wants(levelBad, "file-mount", "not refreshed", "--allow-file-mount")
	w.on(mounted, true).wants(levelWarn, "file-mount", "mount the directory")
}

// L8: other machines are not excluded, and times mean nothing.
func TestDoctorL8NetworkFileSystem(t *testing.T) {
	w := newWard(t)
	hourAgo := time.Now().Add(-time.Hour)
	w.must(os.Mkdir(w.lockPath(0), 0o700), os.Chtimes(w.lockPath(0), hourAgo, hourAgo))
	d := w.on(strangeDisk{kind: fsys.Kind{Name: "nfs", Remote: true}}, false)
	d.wants(levelWarn, "network-file-system", "nfs")
	d.wants(levelWarn, "lock-old", "times mean nothing")
}

// F5: who may read, replace or reach the file by another name.
func TestDoctorF5Permissions(t *testing.T) {
	w := newWard(t)
	w.must(os.Chmod(w.file, 0o640))
	w.doctor().wants(levelWarn, "permissions", "0640", "chmod 600 "+w.file)

	w = newWard(t)
	w.must(os.Chmod(w.dir, 0o777))
	w.doctor().wants(levelBad, "open-directory", "chmod o-w "+w.dir)

	w = newWard(t)
	w.must(os.Link(w.file, filepath.Join(w.dir, "copy.json")))
	w.doctor().wants(levelWarn, "hard-link", "2 names")
}

// What the locks of Claude Code look like, and what it means. L2, L3.
func TestDoctorLocks(t *testing.T) {
	age := func(w *ward, n int, d time.Duration) {
		at := time.Now().Add(-d)
		w.must(os.Mkdir(w.lockPath(n), 0o700), os.Chtimes(w.lockPath(n), at, at))
	}
	for name, c := range map[string]struct {
		lay   func(*ward)
		level level
		id    string
		words []string
	}{
		"L2 no beat":         {func(w *ward) { age(w, 0, 30*time.Second) }, levelWarn, "lock-old", []string{"30 s old", "wait"}},
		"L2 left":            {func(w *ward) { age(w, 1, 5*time.Minute) }, levelWarn, "lock-old", []string{"5 min old", "12 s"}},
		"L2 write lock left": {func(w *ward) { age(w, 2, 20*time.Second) }, levelWarn, "lock-old", []string{"left behind"}},
		"L3 future":          {func(w *ward) { age(w, 0, -time.Hour) }, levelBad, "lock-future", []string{"59 min", "rmdir"}},
		"L3 regular file":    {func(w *ward) { w.must(os.WriteFile(w.lockPath(0), nil, 0o600)) }, levelBad, "lock-place", []string{"regular file", "rm "}},
		"L3 link":            {func(w *ward) { w.must(os.Symlink("/", w.lockPath(0))) }, levelBad, "lock-place", []string{"link"}},
		"L6 file for second": {func(w *ward) { w.must(os.WriteFile(w.lockPath(1), nil, 0o600)) }, levelWarn, "lock-place", []string{"first lock alone"}},
		"filled": {func(w *ward) {
			age(w, 0, time.Hour)
			w.must(os.WriteFile(filepath.Join(w.lockPath(0), "x"), nil, 0o600))
		}, levelBad, "lock-filled", []string{"1 file"}},
		"owner's hint": {func(w *ward) {
			age(w, 0, time.Hour)
			w.must(os.WriteFile(w.lockPath(0)+".owner", []byte(`{"pid":4711}`), 0o600))
		}, levelWarn, "lock-old", []string{"by process 4711"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			c.lay(w)
			w.doctor().wants(c.level, c.id, c.words...)
		})
	}
	w := newWard(t)
	age(w, 0, 3*time.Second)
	d := w.doctor()
	d.healthy() // somebody is refreshing: that is as it should be
	d.says("its time is 3 s old")
}

// A lock that beats is alive, whatever its age.
func TestDoctorLockThatBeats(t *testing.T) {
	w := newWard(t)
	at := time.Now().Add(-time.Hour)
	w.must(os.Mkdir(w.lockPath(0), 0o700))
	d := w.on(strangeDisk{lstat: func(name string, i *fsys.Info) {
		if name == w.lockPath(0) {
			at = at.Add(time.Second)
			i.ModTime = at
		}
	}}, false)
	if f, ok := d.find("lock-old"); ok {
		t.Errorf("%+v", f)
	}
	d.says("it beats")
}

// L1: our own guard and who holds it.
func TestDoctorGuard(t *testing.T) {
	w := newWard(t)
	w.guarded(func(*ledger.Guard) {
		d := w.doctor()
		d.healthy()
		d.says(fmt.Sprintf("process %d of evercred", os.Getpid()))
	})
}

func TestDoctorMemory(t *testing.T) {
	print, soon := evercred.NewSecret(wardRefresh).Fingerprint(), time.Now().Add(10*time.Minute)
	for name, c := range map[string]struct {
		memory ledger.Memory
		level  level
		id     string
		words  []string
	}{
		"R11 cooldown":   {ledger.Memory{Cooldown: &ledger.Cooldown{Until: soon, Reason: "rate-limited", What: "429"}}, levelWarn, "rate-limited", []string{"429"}},
		"R10 refused":    {ledger.Memory{Dead: &ledger.Dead{At: time.Now(), Reason: "refused"}}, levelBad, "refused", []string{"claude auth login"}},
		"R15b no tokens": {ledger.Memory{Refused: &ledger.Cooldown{Until: soon, Reason: "api-refuses"}}, levelWarn, "api-refuses", nil},
		"R20 older copy": {ledger.Memory{Spent: []string{print}}, levelBad, "older-copy", nil},
		"R18 clock":      {ledger.Memory{Granted: &ledger.Granted{At: time.Now().Add(time.Hour)}}, levelWarn, "clock", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			c.memory.Print = print
			w.guarded(func(g *ledger.Guard) { w.must(g.SetMemory(c.memory)) })
			w.doctor().wants(c.level, c.id, c.words...)
			// It is void as soon as the store holds another token.
			if c.memory.Granted == nil {
				w.write(`"refreshToken":"another"`)
				w.doctor().healthy()
			}
		})
	}
	w := newWard(t)
	w.guarded(func(*ledger.Guard) {})
	w.must(os.WriteFile(filepath.Join(w.book().Path(), "memory"), []byte("{"), 0o600))
	w.doctor().wants(levelWarn, "ledger-corrupt")
}

func TestDoctorAttempts(t *testing.T) {
	begin := func(w *ward, g *ledger.Guard) ledger.Record {
		r, err := g.Begin(ledger.Intent{Refresh: evercred.NewSecret(wardRefresh).Fingerprint()})
		w.must(err)
		return r
	}
	w := newWard(t)
	w.guarded(func(g *ledger.Guard) {
		r := begin(w, g)
		w.must(r.MarkSending(time.Now()), r.Append([]byte("HTTP/1.1 200 OK\r\n\r\n{}")), r.Finish(time.Now()))
	})
	w.doctor().wants(levelWarn, "escrow", "waits to be saved", "evercred refresh")

	w = newWard(t)
	w.guarded(func(g *ledger.Guard) { w.must(begin(w, g).MarkSending(time.Now())) })
	w.doctor().wants(levelWarn, "unanswered", "no known outcome")

	w = newWard(t)
	w.guarded(func(g *ledger.Guard) {
		for range 2 {
			r := begin(w, g)
			w.must(r.MarkSending(time.Now()), r.Close("lost", "", time.Now()))
		}
		r := begin(w, g)
		w.must(r.Close("saved", "", time.Now()))
	})
	w.doctor().wants(levelWarn, "lost-answer", "2 answers of the token endpoint were lost")

	w = newWard(t)
	w.guarded(func(g *ledger.Guard) { begin(w, g) }) // never sent: of no consequence
	w.doctor().healthy()
}

// Staging files of an interrupted refresh: told, and removed with --fix.
func TestDoctorStaged(t *testing.T) {
	w := newWard(t)
	w.guarded(func(*ledger.Guard) {})
	staged := []string{filepath.Join(w.book().Path(), "tmp-0123"), filepath.Join(w.book().Path(), "lock-0123")}
	w.must(os.WriteFile(staged[0], nil, 0o600), os.Mkdir(staged[1], 0o700))
	w.doctor().wants(levelWarn, "staged", "2 temporary files", "--fix")
	d := w.doctor("--fix")
	d.healthy()
	if len(d.Mended) != 2 {
		t.Errorf("%v", d.Mended)
	}
	for _, path := range staged {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

// --fix does not touch what a running refresh prepares.
func TestDoctorFixSparesARunningRefresh(t *testing.T) {
	w := newWard(t)
	w.guarded(func(g *ledger.Guard) {
		path := filepath.Join(g.Staging(), "tmp-0123")
		w.must(os.WriteFile(path, nil, 0o600))
		w.doctor("--fix").wants(levelBad, "mending", "try again")
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	})
}

// F11: a ledger of a newer version stays as it is, with --fix too.
func TestDoctorF11NewerLedger(t *testing.T) {
	w := newWard(t)
	w.guarded(func(*ledger.Guard) {})
	w.must(
		os.WriteFile(filepath.Join(w.dir, ".evercred", "VERSION"), []byte("99\n"), 0o644),
		os.Chmod(filepath.Join(w.book().Path(), "holder"), 0o644),
	)
	before := everything(t, w.dir)
	w.doctor("--fix").wants(levelBad, "newer-ledger", "format 99", fmt.Sprintf("format %d", ledger.FormatVersion))
	if after := everything(t, w.dir); after != before {
		t.Errorf("touched:\n%s\nwas:\n%s", after, before)
	}
}

func TestQuoted(t *testing.T) {
	for path, want := range map[string]string{"/a/b-c.d": "/a/b-c.d", "/a b": "'/a b'", "": "''", "it's": `'it'\''s'`, "/é": "/é", "$x": "'$x'"} {
		if got := quoted(path); got != want {
			t.Errorf("%q: %s", path, got)
		}
	}
}
