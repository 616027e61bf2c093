package anthropic

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/credjson"
	"github.com/evercred/evercred/internal/jsonedit"
)

// OAuthBeta is the value of the anthropic-beta header that must accompany an
// access token of a profile, and its grant (INTEROP §5, §6).
const OAuthBeta = "oauth-2025-04-20"

// The members of a credentials file that matter here (INTEROP §6). Organisation,
// account and workspace are kept, like everything else.
const (
	keyVersion = "version"
	keyType    = "type"
	keyAccess  = "access_token"
	keyRefresh = "refresh_token"
	keyExpires = "expires_at"
	keyScope   = "scope"
)

// tokenType is the only "type" of a credentials file. The owner's clients take a
// file without one for the same.
const tokenType = "oauth_token"

// Codec understands the credentials file of a profile of kind UserOAuth (INTEROP
// §6). It is pure and safe for concurrent use.
type Codec struct {
	// ClientID is the client that the profile names. Without one the profile is
	// static: its refresh token is not shown, so that nothing ever sends it.
	ClientID string
}

var _ evercred.Codec = Codec{}

// Decode finds the login. What is odd and yet clear is tolerated and listed in
// Credential.Notes.
//
// ErrNotFound (ReasonNoSection): the file has no token at all. ErrUnsafe
// (ReasonUnreadable): it is not JSON, no object, of another type than
// oauth_token, or has a token that is no string or could not stand in a request.
// A file whose tokens are "" is Blanked and no error.
//
// An expires_at that is absent or no number gives a zero Expires: the token is
// used until it is refused. One in milliseconds is told apart by its size.
func (c Codec) Decode(doc []byte) (evercred.Credential, error) {
	_, cred, err := c.decode(doc)
	return cred, err
}

// Encode returns doc with both tokens and Expires of cred in it, the latter in
// whole seconds, and Scopes if they differ from those of doc. A member that says
// the same already stays as it is written, so that Encode of what Decode gave
// changes no byte. A zero Refresh and nil Scopes leave the member alone.
//
// It never creates a login: the errors of Decode are errors here. ErrUnsafe
// (ReasonBug) also if cred has no access token, or a token that Decode would refuse.
func (c Codec) Encode(doc []byte, cred evercred.Credential) ([]byte, error) {
	f, old, err := c.decode(doc)
	if err != nil {
		return nil, err
	}
	if err := credjson.Savable(cred); err != nil {
		return nil, err
	}
	out, err := f.doc.Edit(f.changes(old, cred)...)
	if err != nil {
		return nil, &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonBug, What: "the login cannot be written into its document", Err: err}
	}
	return out, nil
}

// file is one credentials file while it is read.
type file struct {
	doc   *jsonedit.Doc
	root  jsonedit.Value
	notes []string
}

func (c Codec) decode(doc []byte) (*file, evercred.Credential, error) {
	f, err := parse(doc)
	if err != nil {
		return nil, evercred.Credential{}, err
	}
	cred, err := f.credential()
	if err != nil {
		return nil, evercred.Credential{}, err
	}
	cred.ClientID = c.ClientID
	if c.ClientID == "" && !cred.Refresh.IsZero() {
		cred.Refresh = evercred.Secret{}
		f.note("the profile names no client_id, so the token is never renewed")
	}
	cred.Notes = f.notes
	return f, cred, nil
}

func parse(doc []byte) (*file, error) {
	parsed, err := jsonedit.Parse(doc)
	if err != nil {
		return nil, credjson.Unreadable("the document is not sound JSON", "", err)
	}
	f := &file{doc: parsed, root: parsed.Root()}
	if kind := f.root.Kind(); kind != jsonedit.Object {
		return nil, credjson.Unreadable(fmt.Sprintf("the document is %v, not an object", kind), "", nil)
	}
	switch t := f.root.Find(keyType); {
	case t.Kind() == jsonedit.Absent, t.Kind() == jsonedit.Null, t.Kind() == jsonedit.String && (t.Text() == tokenType || t.Text() == ""):
	case t.Kind() == jsonedit.String:
		return nil, credjson.Unreadable("the credentials are of a type other than "+tokenType, keyType, nil)
	default:
		return nil, credjson.Unreadable(fmt.Sprintf("the type of the credentials is %v, not a string", t.Kind()), keyType, nil)
	}
	switch v := f.root.Find(keyVersion); {
	case v.Kind() == jsonedit.Absent, v.Kind() == jsonedit.String && (v.Text() == "1" || strings.HasPrefix(v.Text(), "1.")):
	default:
		f.note("%s is not 1.x; the file is read as if it were", keyVersion)
	}
	return f, nil
}

func (f *file) credential() (evercred.Credential, error) {
	access, err := credjson.Token(f.root.Find(keyAccess), credjson.Access, keyAccess)
	if err != nil {
		return evercred.Credential{}, err
	}
	refresh, err := credjson.Token(f.root.Find(keyRefresh), credjson.Refresh, keyRefresh)
	if err != nil {
		return evercred.Credential{}, err
	}
	c := evercred.Credential{
		Access:     access,
		Refresh:    refresh,
		Expires:    time.Unix(0, 0),
		Scopes:     f.scopes(),
		Blanked:    access.IsZero() && refresh.IsZero(),
		Companions: http.Header{"Anthropic-Beta": {OAuthBeta}},
	}
	switch {
	case c.Blanked && f.root.Find(keyAccess).Kind() != jsonedit.String && f.root.Find(keyRefresh).Kind() != jsonedit.String:
		return evercred.Credential{}, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoSection, What: "the credentials file holds no token"}
	case !access.IsZero():
		c.Expires, _ = f.expires()
	case !c.Blanked: // the owner's clients store a 200 without a token like this
		f.note("there is no access token; it counts as expired")
	}
	return c, nil
}

// Plausible times, in seconds. Before 2000 a number is no time; from year 10000
// on RFC 3339 cannot write it. A thousand times as much is milliseconds: the
// ranges do not meet.
const (
	year2000  = 946_684_800
	year10000 = 253_402_300_800
)

// expires reads the end of the access token; exact: the file says it in seconds.
func (f *file) expires() (t time.Time, exact bool) {
	v := f.root.Find(keyExpires)
	if v.Kind() != jsonedit.Number {
		if v.Kind() != jsonedit.Absent && v.Kind() != jsonedit.Null {
			f.note("%s is %v, not a number, so the token is used until it is refused", keyExpires, v.Kind())
		}
		return time.Time{}, false
	}
	n, _ := strconv.ParseFloat(string(v.Raw()), 64) // its only error on a JSON number is a range error, and the result infinite
	switch {
	case n >= year2000*1000 && n < year10000*1000:
		f.note("%s is in milliseconds; it is read as such, and written in seconds by the next save", keyExpires)
		return time.UnixMilli(int64(n)), false
	case n >= year10000:
		f.note("%s is too large for a time; the token counts as expired", keyExpires)
		return time.Unix(0, 0), false
	case n < year2000:
		f.note("%s lies before the year 2000; the token counts as expired", keyExpires)
	}
	return time.Unix(int64(max(n, 0)), 0), true
}

// scopes reads the list of RFC 6749 §3.3; nil: there is none.
func (f *file) scopes() []string {
	v := f.root.Find(keyScope)
	list := strings.Fields(v.Text())
	switch {
	case v.Kind() == jsonedit.Absent, v.Kind() == jsonedit.Null:
		return nil
	case v.Kind() != jsonedit.String, slices.ContainsFunc(list, credjson.NotScope):
		f.note("%s is no list of scopes; it is left alone", keyScope)
		return nil
	case len(list) == 0:
		return nil
	}
	return list
}

func (f *file) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// changes lists the members in which c differs from the file.
func (f *file) changes(old, c evercred.Credential) []jsonedit.Change {
	var list []jsonedit.Change
	set := func(name string, value []byte) {
		list = append(list, jsonedit.Change{Path: []string{name}, JSON: value})
	}
	successor := !c.Access.Equal(old.Access)
	if successor {
		set(keyAccess, jsonedit.Quote(c.Access.Reveal()))
	}
	if !c.Refresh.IsZero() && !c.Refresh.Equal(old.Refresh) {
		set(keyRefresh, jsonedit.Quote(c.Refresh.Reveal()))
	}
	switch was, exact := f.expires(); {
	case c.Expires.IsZero() && !was.IsZero():
		set(keyExpires, []byte("null")) // unknown, for the owner's clients too
	case !c.Expires.IsZero() && (was.IsZero() || was.Unix() != c.Expires.Unix() || successor && !exact):
		set(keyExpires, strconv.AppendInt(nil, c.Expires.Unix(), 10))
	}
	if c.Scopes != nil && !slices.Equal(c.Scopes, old.Scopes) {
		set(keyScope, jsonedit.Quote(strings.Join(c.Scopes, " ")))
	}
	return list
}
