package crashes

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// scene is a life of a process that will be cut short at each of its operations.
type scene struct {
	name string
	how  issuer.Behaviour
	left time.Duration // of the access token; negative: it has ended
	lay  func(w *world, at place, l issuer.Login)
	// before are the lives of earlier processes, which end well.
	before func(m *machine)
	// crashed starts from where a process of another scene was killed: at the
	// first moment when the answer must be safe.
	crashed bool
	full    int // how many tries of the save meet a full disk
	stay    time.Duration
	// after is what the owner does between the crash and the next process.
	after   string
	inPlace bool
	// split is the byte of the login at which a page ends; see place.
	split int
}

// Where a page may end within stage.Document: amid the tokens.
var (
	amidAccess  = bytes.Index(stage.Document("A", "R", epoch), []byte(`"A"`)) + 30
	amidRefresh = bytes.Index(stage.Document(strings.Repeat("A", 65), "R", epoch), []byte(`"R"`)) + 30
)

// The endpoint's windows are longer than any story.
const window = time.Hour

func scenes() []scene {
	// The scopes stay as they are, or they would be saved as well.
	of := func(p issuer.Profile) issuer.Behaviour {
		return issuer.Behaviour{Profile: p, Members: map[string]string{"scope": ""}}
	}
	strict, slow := of(issuer.Strict()), of(issuer.Strict())
	slow.AfterCommit = 4 * time.Second
	const ended, early = -time.Hour, 5 * time.Minute
	return []scene{
		{name: "first refresh, strict", how: strict, left: ended},
		{name: "first refresh, idempotent", how: of(issuer.Idempotent(window)), left: ended},
		{name: "first refresh, sibling", how: of(issuer.Sibling(window)), left: ended},
		{name: "first refresh, no rotation", how: of(issuer.NoRotation()), left: ended},
		{name: "later refresh", how: strict, left: ended, before: earlier},
		{name: "early refresh", how: strict, left: early},
		{name: "slow answer", how: slow, left: ended},
		{name: "behind a link", how: strict, left: ended, lay: linked},
		{name: "in place, mount", how: strict, left: ended, lay: mounted, inPlace: true, split: amidRefresh},
		{name: "in place, hard link", how: strict, left: ended, lay: twoNames, inPlace: true, split: amidAccess},
		{name: "in place, longer", how: strict, left: ended, lay: grows, inPlace: true, split: amidAccess},
		{name: "recovery", how: strict, left: ended, crashed: true},
		{name: "recovery over a blank", how: strict, left: ended, crashed: true, before: func(m *machine) { m.blank() }},
		{name: "dead owner's lock", how: strict, left: ended, lay: staleLock},
		{name: "save fails first", how: strict, left: ended, full: 2, stay: 5 * time.Second},
		{name: "logout meanwhile", how: strict, left: ended, after: "logout"},
		{name: "login meanwhile", how: strict, left: ended, after: "login"},
		{name: "blanked meanwhile", how: strict, left: ended, after: "blank"},
	}
}

// earlier is a refresh that ended well, and the end of its token.
func earlier(m *machine) {
	if _, _, err := m.patiently(false); err != nil {
		panic(err)
	}
	time.Sleep(9 * time.Hour)
}

func linked(w *world, at place, l issuer.Login) {
	doc := w.disk.at(at.path())
	w.disk.remove(at.path())
	w.disk.put(at.elsewhere(), doc.data, w.now)
	link := w.disk.put(at.path(), nil, w.now)
	link.mode, link.to = fs.ModeSymlink|0o777, at.elsewhere()
}

func mounted(w *world, at place, l issuer.Login) { w.disk.at(at.path()).mount = true }

func twoNames(w *world, at place, l issuer.Login) {
	w.disk.at(filepath.Dir(at.elsewhere())).names["backup.json"] = w.disk.find(at.path(), false)
}

// grows: the next access token is longer than the one that is stored.
func grows(w *world, at place, l issuer.Login) {
	mounted(w, at, l)
	w.disk.put(at.path(), at.document(l.Access[:40], l.Refresh, epoch.Add(-time.Hour)), w.now)
}

// staleLock was left by the owner, long ago.
func staleLock(w *world, at place, l issuer.Login) {
	w.disk.mkdirAll(at.dir+"/.oauth_refresh.lock", w.now.Add(-time.Hour))
}

// begin lays the login and lets the processes live that come before.
func (s scene) begin(at place) world {
	w := world{disk: newTree(epoch), now: epoch, booted: epoch.Add(-time.Hour)}
	m := start(w, at, s.how)
	defer m.close()
	m.disk.mkdirAll(at.dir, epoch)
	m.disk.mkdirAll(filepath.Dir(at.elsewhere()), epoch)
	m.disk.put(at.path(), at.document(m.first.Access, m.first.Refresh, epoch.Add(s.left)), epoch)
	if s.lay != nil {
		s.lay(&m.world, at, m.first)
	}
	if s.crashed {
		p := m.process()
		s.live(p)
		kill, _ := p.log.windows()
		k := 0
		for i := range kill {
			if i > 0 && kill[i-1] && !kill[i] {
				k = i
			}
		}
		w := p.log.killed(k)
		m.disk = w.disk
	}
	if s.before != nil {
		s.before(m)
	}
	return m.snapshot()
}

// live is the life of the process that will be killed.
func (s scene) live(p *process) {
	if full := s.full; full > 0 {
		doc := p.m.place.path()
		p.fail = func(op, path string) error {
			if op != "rename" || path != doc || full == 0 {
				return nil
			}
			full--
			return syscall.ENOSPC
		}
	}
	p.refresh(false, s.stay)
}
