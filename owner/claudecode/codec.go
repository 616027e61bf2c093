package claudecode

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/credjson"
	"github.com/evercred/evercred/internal/jsonedit"
)

// OAuthBeta is the value of the anthropic-beta header that must accompany an
// access token of a login (INTEROP §5).
const OAuthBeta = "oauth-2025-04-20"

// The root member that is ours, and its members (INTEROP §2).
const (
	keySection  = "claudeAiOauth"
	keyAccess   = "accessToken"
	keyRefresh  = "refreshToken"
	keyExpires  = "expiresAt"
	keyDeadline = "refreshTokenExpiresAt"
	keyScopes   = "scopes"
	keyClient   = "clientId"
	keyPlan     = "subscriptionType"
	keyTier     = "rateLimitTier"
)

// Codec understands Claude Code's document (INTEROP §2). The zero value is
// ready; it is pure and safe for concurrent use. A look costs two scans of the
// document and copies nothing of other programs' members.
type Codec struct{}

var _ evercred.Codec = Codec{}

// Decode finds the login. What is odd and yet clear is tolerated and listed in
// Credential.Notes.
//
// ErrNotFound (ReasonNoSection): nobody is logged in: the section is absent,
// null, or holds no token at all. ErrUnsafe (ReasonUnreadable): not JSON, or a
// section or token that is not of its type or could not stand in a request. A
// section whose tokens were emptied is Blanked and no error.
//
// An expiresAt that is not a number gives a zero Expires: unknown, and the token
// is used until it is refused. A number that is no plausible time gives one in
// the past. Times are whole milliseconds.
func (Codec) Decode(doc []byte) (evercred.Credential, error) {
	_, c, err := decode(doc)
	return c, err
}

// Encode returns doc with both tokens and Expires of c in it; Scopes and
// Deadline too, if c has them. A member that says the same already stays as it
// is written, so that Encode of what Decode gave changes no byte. A zero Refresh,
// Deadline or nil Scopes leave the member alone: they are what c does not know.
//
// It never creates a login: the errors of Decode are errors here. ErrUnsafe
// (ReasonBug) also if c has no access token, or a token that Decode would refuse.
// A blanked login is refilled; whether it may be is the caller's to decide.
func (Codec) Encode(doc []byte, c evercred.Credential) ([]byte, error) {
	s, old, err := decode(doc)
	if err != nil {
		return nil, err
	}
	if err := credjson.Savable(c); err != nil {
		return nil, err
	}
	out, err := s.doc.Edit(s.changes(old, c)...)
	if err != nil {
		return nil, &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonBug, What: "the login cannot be written into its document", Where: keySection, Err: err}
	}
	return out, nil
}

func decode(doc []byte) (*section, evercred.Credential, error) {
	s, err := findSection(doc)
	if err != nil {
		return nil, evercred.Credential{}, err
	}
	c, err := s.credential()
	if err != nil {
		return nil, evercred.Credential{}, err
	}
	return s, c, nil
}

// section is our part of one document while it is read.
type section struct {
	doc     *jsonedit.Doc
	members jsonedit.Value
	notes   []string
}

func findSection(doc []byte) (*section, error) {
	parsed, err := jsonedit.Parse(doc)
	if err != nil {
		return nil, credjson.Unreadable("the document is not sound JSON", "", err)
	}
	if kind := parsed.Root().Kind(); kind != jsonedit.Object {
		return nil, credjson.Unreadable(fmt.Sprintf("the document is %v, not an object", kind), "", nil)
	}
	s := &section{doc: parsed, members: parsed.Root().Find(keySection)}
	switch kind := s.members.Kind(); kind {
	case jsonedit.Object:
		return s, nil
	case jsonedit.Absent, jsonedit.Null:
		return nil, noSection("the document holds no login of Claude Code")
	default:
		return nil, credjson.Unreadable(fmt.Sprintf("the login is %v, not an object", kind), keySection, nil)
	}
}

func (s *section) credential() (evercred.Credential, error) {
	access, err := s.token(keyAccess, credjson.Access)
	if err != nil {
		return evercred.Credential{}, err
	}
	refresh, err := s.token(keyRefresh, credjson.Refresh)
	if err != nil {
		return evercred.Credential{}, err
	}
	if access.IsZero() && refresh.IsZero() && !s.emptied() {
		return evercred.Credential{}, noSection("the login section holds no token")
	}
	c := evercred.Credential{
		Access:     access,
		Refresh:    refresh,
		Expires:    time.UnixMilli(0),
		Deadline:   s.deadline(),
		Scopes:     s.scopes(),
		Blanked:    access.IsZero() && refresh.IsZero(),
		ClientID:   s.label(keyClient),
		Plan:       s.label(keyPlan),
		Tier:       s.label(keyTier),
		Companions: http.Header{"Anthropic-Beta": {OAuthBeta}},
	}
	switch {
	case !access.IsZero():
		c.Expires = s.expires()
	case !c.Blanked:
		s.note("there is no access token; it counts as expired")
	}
	c.Notes = s.notes
	return c, nil
}

// emptied tells a blanked login, whose tokens are "", from one that never had any.
func (s *section) emptied() bool {
	return s.members.Find(keyAccess).Kind() == jsonedit.String || s.members.Find(keyRefresh).Kind() == jsonedit.String
}

// token reads a token.
func (s *section) token(name string, lowest byte) (evercred.Secret, error) {
	return credjson.Token(s.members.Find(name), lowest, keySection+"."+name)
}

// Plausible times, in milliseconds. Before 2000, a number is not in
// milliseconds, or not a time; after 9999, RFC 3339 cannot write it.
const (
	year2000  = 946_684_800_000
	year10000 = 253_402_300_800_000
)

// expires reads the end of the access token.
func (s *section) expires() time.Time {
	v := s.members.Find(keyExpires)
	if v.Kind() != jsonedit.Number {
		s.note("%s is %v, so the token is used until it is refused", keyExpires, v.Kind())
		return time.Time{}
	}
	ms := milliseconds(v)
	switch {
	case ms >= year10000:
		s.note("%s is too large for a time; the token counts as expired", keyExpires)
		return time.UnixMilli(0)
	case ms < year2000:
		s.note("%s lies before the year 2000 (seconds instead of milliseconds?); the token counts as expired", keyExpires)
	}
	return time.UnixMilli(int64(max(ms, 0)))
}

// deadline reads the end of the login itself. Unlike that of a token a wrong one
// would end the login, so what is not plausible is unknown.
func (s *section) deadline() time.Time {
	v := s.members.Find(keyDeadline)
	switch v.Kind() {
	case jsonedit.Absent, jsonedit.Null:
		return time.Time{}
	case jsonedit.Number:
		if ms := milliseconds(v); ms >= year2000 && ms < year10000 {
			return time.UnixMilli(int64(ms))
		}
	}
	s.note("%s is no time; the login's own end is unknown", keyDeadline)
	return time.Time{}
}

// milliseconds reads a number; what float64 cannot hold is infinite.
func milliseconds(v jsonedit.Value) float64 {
	ms, _ := strconv.ParseFloat(string(v.Raw()), 64) // its only error on a JSON number is a range error
	return ms
}

// scopes reads an array, or the string that occurs in the wild.
func (s *section) scopes() []string {
	v := s.members.Find(keyScopes)
	var list []string
	switch v.Kind() {
	case jsonedit.Absent, jsonedit.Null:
		return nil
	case jsonedit.String:
		s.note("%s is one string, not an array", keyScopes)
		list = strings.Fields(v.Text())
	case jsonedit.Array:
		list = []string{}
		for e := range v.Elements() {
			list = append(list, e.Text()) // of what is no string "", which is no scope
		}
	}
	if list == nil || slices.ContainsFunc(list, credjson.NotScope) {
		s.note("%s is no array of scopes; it is left alone", keyScopes)
		return nil
	}
	return list
}

// label reads a string that is for people or requests; what could play tricks
// on a terminal is left out.
func (s *section) label(name string) string {
	v := s.members.Find(name)
	text := v.Text()
	switch {
	case v.Kind() == jsonedit.Absent || v.Kind() == jsonedit.Null:
	case v.Kind() != jsonedit.String:
		s.note("%s is %v, not a string", name, v.Kind())
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		s.note("%s holds characters that cannot be printed", name)
		return ""
	}
	return text
}

func (s *section) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// changes lists the members in which c differs from the section.
func (s *section) changes(old, c evercred.Credential) []jsonedit.Change {
	var list []jsonedit.Change
	set := func(name string, value []byte) {
		list = append(list, jsonedit.Change{Path: []string{keySection, name}, JSON: value})
	}
	if !c.Access.Equal(old.Access) {
		set(keyAccess, jsonedit.Quote(c.Access.Reveal()))
	}
	if !c.Refresh.IsZero() && !c.Refresh.Equal(old.Refresh) {
		set(keyRefresh, jsonedit.Quote(c.Refresh.Reveal()))
	}
	if expires := s.expires(); c.Expires.IsZero() != expires.IsZero() || c.Expires.UnixMilli() != expires.UnixMilli() {
		set(keyExpires, timeJSON(c.Expires))
	}
	if !c.Deadline.IsZero() && c.Deadline.UnixMilli() != old.Deadline.UnixMilli() {
		set(keyDeadline, timeJSON(c.Deadline))
	}
	if c.Scopes != nil && !slices.Equal(c.Scopes, old.Scopes) {
		set(keyScopes, listJSON(c.Scopes))
	}
	return list
}

// timeJSON writes whole milliseconds; an unknown time as null, which the owner
// takes like us: used until refused (INTEROP §2).
func timeJSON(t time.Time) []byte {
	if t.IsZero() {
		return []byte("null")
	}
	return strconv.AppendInt(nil, t.UnixMilli(), 10)
}

// listJSON writes an array, always: the owner cannot do with a string.
func listJSON(list []string) []byte {
	quoted := make([][]byte, len(list))
	for i, item := range list {
		quoted[i] = jsonedit.Quote(item)
	}
	return slices.Concat([]byte("["), bytes.Join(quoted, []byte(",")), []byte("]"))
}

func noSection(what string) error {
	return &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoSection, What: what, Where: keySection}
}
