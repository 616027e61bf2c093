package faults

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// result is what one case showed.
type result struct {
	fired          bool
	fault, outcome string // of the table
	wrong          []string
}

// try mistreats one `evercred token`, judges what it did by what the endpoint
// knows, and lets another one come after it.
func try(ctx context.Context, program stage.Program, f fault, dir string) (result, error) {
	p, err := newPlace(ctx, f.scene, dir, f.profile, program)
	if err != nil {
		return result{}, err
	}
	defer p.login.Close()
	t := trial{place: p, fault: f, before: p.login.Endpoint.Requests(), grants: p.login.Endpoint.Grants()}
	if t.document, err = os.ReadFile(p.login.Path()); err != nil {
		return result{}, err
	}
	if t.file, err = os.Stat(p.login.Path()); err != nil {
		return result{}, err
	}
	watched := []string{f.call}
	switch {
	case f.errno == kill:
		watched = append(watched, "read", "pwrite64")
	case f.call == "fsync":
		watched = append(watched, "renameat")
	}
	run := tracer{calls: strings.Join(watched, ","), inject: f.inject()}
	t.out, t.trace, err = run.run(program.Command(ctx, p.login, "token"), filepath.Join(dir, "trace"))
	if err != nil {
		return result{}, err
	}
	ended := time.Now()
	if !t.fired() {
		return result{}, nil
	}
	if err := t.settle(); err != nil {
		return result{}, err
	}
	t.judge()
	t.follow()
	if ctx.Err() != nil {
		t.blame("it did not end")
	}
	return result{true, family(f.errno) + ", " + t.phase(ended), t.outcome, t.wrong}, nil
}

// trial is a case under way.
type trial struct {
	*place
	fault    fault
	before   int // requests
	grants   int
	document []byte // as it was, and
	file     os.FileInfo
	out      stage.Outcome
	trace    *trace

	outcome string
	wrong   []string
}

func (t *trial) blame(format string, args ...any) {
	t.wrong = append(t.wrong, fmt.Sprintf(format, args...)+": "+t.evidence())
}

// evidence is what a person asks for first.
func (t *trial) evidence() string {
	at := "killed"
	if hits := t.trace.injected(); len(hits) > 0 {
		at = hits[0].name + "(" + hits[0].text
	}
	return fmt.Sprintf("exit %d, %q, at %s", t.out.Code, t.out.Messages, at)
}

func (t *trial) killed() bool { return t.out.Signal == syscall.SIGKILL }

// fired reports whether the fault hit what it was meant for: not the loader of
// programs, nor the Go runtime, which throws when it cannot poll.
func (t *trial) fired() bool {
	hits := t.trace.injected()
	ofOthers := slices.ContainsFunc(hits, func(c call) bool {
		return strings.Contains(c.text, "ld.so.cache") || strings.Contains(c.text, "libc.so") || strings.Contains(c.text, "anon_inode:[eventfd]>") || c.on("eventfd")
	})
	if t.fault.errno == kill {
		return t.killed()
	}
	return len(hits) > 0 && !ofOthers
}

// hit reports whether any call that failed is such.
func (t *trial) hit(is func(call) bool) bool { return slices.ContainsFunc(t.trace.injected(), is) }

// onNetwork: the answer may be lost without anybody's fault.
func (t *trial) onNetwork() bool {
	return t.hit(func(c call) bool { return c.on("socket:") || c.on("TCP") })
}

// settle waits until the endpoint has done with what the process sent.
func (t *trial) settle() error {
	ctx, cancel := context.WithTimeout(t.ctx, time.Minute)
	defer cancel()
	return t.login.Endpoint.Await(ctx, func(log []issuer.Record) bool {
		return !slices.ContainsFunc(log, func(r issuer.Record) bool { return r.Ended.IsZero() })
	})
}

// grant is the first grant that was committed to the mistreated process.
func (t *trial) grant() *issuer.Record {
	for _, r := range t.login.Endpoint.Audit()[t.before:] {
		if r.Granted() {
			return &r
		}
	}
	return nil
}

// newest is the fingerprint of the newest access token.
func (t *trial) newest() string {
	access := issuer.Fingerprint(t.login.First.Access)
	for _, r := range t.login.Endpoint.Audit() {
		if r.Access != "" {
			access = r.Access
		}
	}
	return access
}

// messageForm: what happened, and a hint with the remedy (DESIGN §7).
var messageForm = regexp.MustCompile(`(?m)^evercred: .{10,}\n(.*\n)*hint: .{5,}`)

// judge holds the mistreated process to its promises.
func (t *trial) judge() {
	out := t.out
	for _, secret := range []string{"sk-ant-", "neighbour-secret"} {
		if strings.Contains(out.Messages, secret) {
			t.wrong = append(t.wrong, "a secret stands in the messages")
		}
	}
	for _, word := range []string{"goroutine ", "panic", "a bug"} {
		if strings.Contains(out.Messages, word) {
			t.blame("it broke down (%q)", word)
		}
	}
	toOutput := t.hit(func(c call) bool { return c.name == "write" && c.onDescriptor("1") })
	toMessages := t.hit(func(c call) bool { return c.name == "write" && c.onDescriptor("2") })
	got := issuer.Fingerprint(out.Token)
	granted := t.grant() != nil
	switch {
	case t.killed():
		t.outcome = "killed"
	case toOutput && (out.Code == 2 || out.Code == 128+int(syscall.SIGPIPE)):
		t.outcome = "the token could not be printed, and is saved"
	case out.Code == 0 && got == t.newest():
		t.outcome = "the new token printed, and saved"
		if !t.stored() {
			t.outcome = "the new token printed with a warning, saved by the next process"
		}
	case out.Code == 0 && t.scene.left > 0 && got == issuer.Fingerprint(t.login.First.Access):
		t.outcome = "no grant; the valid token served"
		if granted && !t.onNetwork() {
			t.blame("the old token was served after a grant")
		}
	case out.Code == 0:
		t.blame("the token printed is not the newest")
	case (out.Code == 5 || out.Code == 6 || out.Code == 7) && (!granted || t.onNetwork()):
		t.outcome = "no grant; says why"
		if t.scene.escrowed {
			t.outcome = "the answer stays in escrow; says why"
		} else if granted {
			t.outcome = "the answer was lost on the way; says so"
		}
	case out.Code == 4 && granted && t.fault.profile == "strict" && t.onNetwork():
		t.outcome = "the answer was lost on the way, without a second chance; says so"
	default:
		t.blame("signal %v, granted %t", out.Signal, granted)
	}
	if !t.killed() && out.Code > 0 && out.Code < 128 && !toMessages && !messageForm.MatchString(out.Messages) {
		t.blame("the message does not say what happened and what to do")
	}
	t.judgeDocument(granted)
	t.judgeOrder()
	if t.borne() && out.Code == 7 { // 5 and 6 may be the time that ran out on a busy machine
		t.blame("what can be borne was not")
	}
}

// judgeDocument: no grant, no change; and no change but by a rename.
func (t *trial) judgeDocument(granted bool) {
	doc, err := os.ReadFile(t.login.Path())
	info, ierr := os.Stat(t.login.Path())
	switch {
	case err != nil || ierr != nil:
		t.blame("%v %v", err, ierr)
	case bytes.Equal(doc, t.document):
	case !granted && !t.scene.escrowed:
		t.blame("the file changed though there was no grant")
	case os.SameFile(info, t.file) && !t.login.InPlace:
		t.blame("the file was written where it lay, where a reader can meet a part of it")
	}
}

// judgeOrder: what has to be on disk first was, or nothing came of it.
func (t *trial) judgeOrder() {
	g := t.grant()
	for _, c := range t.trace.injected() {
		if t.borne() || t.killed() {
			return
		}
		prepares := slices.Contains([]string{"fsync", "fallocate", "pwrite64"}, c.name)
		if g != nil && c.at.Before(g.Committed) && prepares && (c.about("attempt-") || c.about("tmp-save-")) {
			t.blame("a grant although it could not be prepared")
		}
		if c.name == "fsync" && c.about("tmp-save-") && t.trace.renamed(c.path()) {
			t.blame("the new document took its place although it was not on disk")
		}
	}
}

// borne reports whether the fault is none that may stop a refresh: a call that
// was interrupted is made again, and what a file system cannot do is done
// without.
func (t *trial) borne() bool {
	switch t.fault.errno {
	case "EINTR":
		again := []string{"openat", "read", "pwrite64", "fsync", "fdatasync", "statx", "flock", "fallocate", "ftruncate", "statfs", "renameat"}
		return slices.Contains(again, t.fault.call) && !t.onNetwork()
	case "EOPNOTSUPP", "ENOSYS":
		return slices.Contains([]string{"fallocate", "flistxattr", "fremovexattr", "renameat2"}, t.fault.call)
	}
	return false
}

// stored reports whether the file holds the newest access token.
func (t *trial) stored() bool {
	access, _, _, err := t.login.Stored()
	return err == nil && issuer.Fingerprint(access) == t.newest()
}

// kept reports whether the newest refresh token is anywhere on disk.
func (t *trial) kept() bool {
	newest, found := t.login.Endpoint.Committed(t.login.ID), false
	_ = filepath.WalkDir(t.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && (path == t.login.Path() || strings.HasSuffix(path, ".open") || strings.HasSuffix(path, ".json")) {
			b, _ := os.ReadFile(path)
			found = found || bytes.Contains(b, []byte(newest))
		}
		return nil
	})
	return found
}

// nowhere: the answer itself could not be written, nor could anything after it.
// What was reserved for it is of no use on such a disk, and saying so is all
// that is left.
func (t *trial) nowhere() bool {
	return t.fault.call == "pwrite64" && strings.HasSuffix(t.fault.errno, "+") && strings.Contains(t.out.Messages, "not saved") &&
		t.hit(func(c call) bool { return c.about("attempt-") && strings.Contains(c.text, "HTTP/1.") })
}

// phase is when the fault came, by the clocks of strace and of the endpoint.
func (t *trial) phase(ended time.Time) string {
	at := ended
	if hits := t.trace.injected(); len(hits) > 0 {
		at = hits[0].at
	}
	g := t.grant()
	switch {
	case t.scene.escrowed:
		return "after the grant"
	case g == nil || at.Before(g.Committed):
		return "before the grant"
	case t.killed() && !t.trace.inEscrow():
		return "after the grant, before the answer is in escrow"
	}
	return "after the grant"
}

// follow lets the next process come, and looks at what is left after it.
func (t *trial) follow() {
	granted := t.grant() != nil
	excused := granted && (t.killed() && !t.trace.inEscrow() || t.onNetwork() || t.nowhere())
	if granted && !excused && !t.kept() {
		t.blame("the newest refresh token is neither stored nor in escrow")
	}
	next := t.patiently(func() stage.Outcome {
		o := stage.Run(t.program.Command(t.ctx, t.login, "token"))
		if t.killed() && !t.trace.inEscrow() && t.login.Endpoint.Reuses() > 0 {
			excused = true // what it sent arrived after we had looked
		}
		if excused && o.Code == 0 && issuer.Fingerprint(o.Token) != t.newest() {
			o.Code = 5 // the valid token is served while the refresh rests; the next one repeats it
			if strings.Contains(o.Messages, "was lost, and the old token is spent") {
				o.Code = 4 // or for as long as it is valid, since no refresh can help any more
			}
		}
		return o
	})
	got := issuer.Fingerprint(next.Token)
	switch {
	case next.Code == 4 && excused && t.fault.profile == "strict" && strings.Contains(next.Messages, "lost"):
		t.outcome = "lost in the excusable window; the next process says so"
		return
	case next.Code != 0 || got != t.newest():
		t.blame("the next process: exit %d, %q, newest: %t", next.Code, next.Messages, got == t.newest())
		return
	case t.killed() && (granted || t.scene.escrowed):
		t.outcome = "the next process has the same grant's token"
	case t.killed():
		t.outcome = "the next process makes the one grant"
	}
	want := t.grants
	if !t.scene.escrowed && !(t.scene.left > 0 && got == issuer.Fingerprint(t.login.First.Access)) {
		want++ // but a valid token is served while the refresh rests after a failure
	}
	if n := t.login.Endpoint.Grants(); n != want {
		t.blame("%d grants, not %d", n, want)
	}
	if n := t.login.Endpoint.Reuses(); n > 0 && !excused {
		t.blame("a spent token was sent")
	}
	t.tidy()
}

// tidy lets another process take the guard, if anything is left to clean up,
// and then nothing may be.
func (t *trial) tidy() {
	if left := t.login.Leftovers(); len(left) > 0 || t.login.Open() > 0 {
		excused := func(c call) bool { return strings.Contains(c.text, ".lock") } // it could not be looked at, freed or taken over
		if slices.ContainsFunc(left, isLock) && !t.killed() && !t.hit(excused) {
			t.blame("a lock stays in its owner's way: %v", left)
		}
		if o := t.again("refresh", "--force"); o.Code != 0 {
			t.blame("the next refresh: exit %d: %s", o.Code, o.Messages)
		}
	}
	for _, why := range t.login.Oracle() {
		t.blame("%s", why)
	}
	if n := t.login.Open(); n > 0 {
		t.blame("%d attempts are still open", n)
	}
}

func isLock(left string) bool { return strings.HasSuffix(left, ".lock") }
