package issuer

import (
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// Login is a new login, as an owner would store it.
type Login struct {
	ID              int // 1 for the first
	Access, Refresh string
	ClientID        string
	Expires         time.Time
}

// book is what the endpoint knows of tokens. Server.mu guards it.
type book struct {
	chance  *rand.ChaCha8
	logins  []*login
	refresh map[string]*refreshToken
	access  map[string]*accessToken
}

// login is a family of tokens.
type login struct {
	id     int
	client string
	dead   bool
	issues []*refreshToken // in the order of their commit
}

type refreshToken struct {
	login  *login
	secret string
	told   int       // how many answers bore every byte of it
	spent  time.Time // zero: never used
	next   *pair     // what its last use brought
}

type accessToken struct {
	login   *login
	expires time.Time
	dead    bool
}

// pair is what one grant issues. refresh is nil where the token does not rotate.
type pair struct {
	access  string
	expires time.Time
	refresh *refreshToken
}

func newBook(key [32]byte) *book {
	return &book{
		chance:  rand.NewChaCha8(key),
		refresh: make(map[string]*refreshToken),
		access:  make(map[string]*accessToken),
	}
}

func (b *book) invent(kind string) string {
	var r [24]byte
	b.chance.Read(r[:])
	return "sk-ant-" + kind + "01-test-" + hex.EncodeToString(r[:])
}

func (b *book) login(now time.Time, client string, how Behaviour) Login {
	l := &login{id: len(b.logins) + 1, client: client}
	b.logins = append(b.logins, l)
	p := b.issue(l, now, how, true)
	p.refresh.told = 1
	return Login{ID: l.id, Access: p.access, Refresh: p.refresh.secret, ClientID: client, Expires: p.expires}
}

// issue makes an access token and, if rotate is set, a refresh token.
func (b *book) issue(l *login, now time.Time, how Behaviour, rotate bool) *pair {
	p := &pair{access: b.invent("oat"), expires: now.Add(how.lifetime())}
	b.access[p.access] = &accessToken{login: l, expires: p.expires}
	if rotate {
		p.refresh = &refreshToken{login: l, secret: b.invent("ort")}
		b.refresh[p.refresh.secret] = p.refresh
		l.issues = append(l.issues, p.refresh)
	}
	return p
}

// ruling is what the endpoint decides about one refresh token.
type ruling struct {
	login     int    // 0: nobody's token
	issued    *pair  // nil: refused
	refusal   string // an error code of RFC 6749 §5.2
	committed bool
	reuse     bool // the token had been used before
	forgiven  bool // and the profile's window let it pass
}

// grant rules on a request of client with a refresh token, and commits.
func (b *book) grant(now time.Time, secret, client string, how Behaviour) ruling {
	t := b.refresh[secret]
	if t == nil {
		return ruling{refusal: "invalid_grant"}
	}
	r := ruling{login: t.login.id, reuse: !t.spent.IsZero()}
	r.refusal = t.login.refuses(client)
	switch {
	case r.refusal != "":
	case !r.reuse:
		b.use(t, now, how)
		r.committed, r.issued = true, t.next
	case !t.repeatable(now, how.Profile):
		t.login.dead = true
		r.refusal = "invalid_grant"
	case how.Profile.kind == sibling:
		b.use(t, now, how)
		r.committed, r.issued, r.forgiven = true, t.next, true
	default:
		r.issued, r.forgiven = t.next, true
	}
	return r
}

// use spends t, except where it does not rotate, and issues what follows it.
func (b *book) use(t *refreshToken, now time.Time, how Behaviour) {
	if how.KillOldAccess {
		b.killAccess(t.login)
	}
	rotate := how.Profile.kind != noRotation && !how.OmitRefresh
	t.next = b.issue(t.login, now, how, rotate)
	if rotate && t.spent.IsZero() {
		t.spent = now
	}
}

// refuses says why a login's tokens are not for client; a token of another
// client is invalid_grant, a missing client invalid_client (RFC 6749 §5.2).
func (l *login) refuses(client string) string {
	switch {
	case l.client != "" && client == "":
		return "invalid_client"
	case l.dead, l.client != "" && l.client != client:
		return "invalid_grant"
	}
	return ""
}

// repeatable: the profile forgives that this spent token is sent again.
func (t *refreshToken) repeatable(now time.Time, p Profile) bool {
	within := now.Sub(t.spent) < p.window
	switch p.kind {
	case idempotent:
		return within && t.next != nil && (t.next.refresh == nil || t.next.refresh.spent.IsZero())
	case sibling:
		return within
	}
	return false
}

func (b *book) alive(secret string, now time.Time, p Profile) bool {
	t := b.refresh[secret]
	return t != nil && !t.login.dead && (t.spent.IsZero() || t.repeatable(now, p))
}

func (b *book) newest(id int, told bool) string {
	l := b.find(id)
	if l == nil {
		return ""
	}
	for i := len(l.issues) - 1; i >= 0; i-- {
		if t := l.issues[i]; t.told > 0 || !told {
			return t.secret
		}
	}
	return ""
}

func (b *book) find(id int) *login {
	if id < 1 || id > len(b.logins) {
		return nil
	}
	return b.logins[id-1]
}

func (b *book) revoke(id int) {
	if l := b.find(id); l != nil {
		l.dead = true
	}
}

func (b *book) revokeAccess(secret string) {
	if a := b.access[secret]; a != nil {
		a.dead = true
	}
}

func (b *book) killAccess(l *login) {
	for _, a := range b.access {
		if a.login == l {
			a.dead = true
		}
	}
}

// honours reports whether an access token is good for the API.
func (b *book) honours(secret string, now time.Time) bool {
	a := b.access[secret]
	return a != nil && !a.dead && !a.login.dead && now.Before(a.expires)
}
