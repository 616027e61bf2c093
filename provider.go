package evercred

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Provider hands out a token that is good for a request now.
//
// Token is safe for concurrent use. ctx bounds this caller's wait and nothing
// else. Errors match the sentinels of this package; ErrNotFound alone means
// "not here, ask another".
type Provider interface {
	Token(ctx context.Context) (Token, error)
}

// Store is where the login's bytes live. Every method is safe for concurrent
// use. credtest.TestStore is the conformance suite.
type Store interface {
	// Load reads the whole document. ErrNotFound: there is none. ErrUnsafe: it
	// cannot be read or trusted.
	Load(ctx context.Context) (Document, error)
	// Save replaces old by data: compare-and-swap over the bytes. ErrConflict:
	// the store no longer holds old, and nothing was written. ErrUnsafe: it
	// could not be written and still holds old. It returns what was read back.
	// Source calls it only while it holds Lock.
	Save(ctx context.Context, old Document, data []byte) (Document, error)
	// Lock takes our guard and the locks of the owner's protocol. It waits until
	// ctx ends. ErrLocked: somebody else holds one. ErrUnsafe: one cannot be
	// made, and so nothing may be refreshed.
	Lock(ctx context.Context) (Lock, error)
}

// Lock is held from the second look at the store until the save.
type Lock interface {
	// Check asks whether every lock is still ours. It is called before the first
	// byte of a grant and before a save; ErrLocked: no longer.
	Check() error
	// Unlock releases what is still ours, and removes nothing else. It is
	// idempotent.
	Unlock() error
}

// TryLocker is a Store that can take its lock without waiting for anybody:
// ErrLocked at once if somebody holds one. Source uses it while the token is
// still good (INTEROP §4: in the early window never wait for a lock).
type TryLocker interface {
	TryLock(ctx context.Context) (Lock, error)
}

// Noter is a Lock that has something to tell: a lock that was taken over, or
// one that had to be done without.
type Noter interface{ Notes() []string }

// Prober is a Store that can tell cheaply (a stat) whether its document changed.
type Prober interface {
	Probe(ctx context.Context, last Document) (changed bool, err error)
}

// Preparer is a Lock that can do in advance everything of a Save that may fail:
// Source calls it before it spends a refresh token (DESIGN §6.6). An error means
// that nothing may be spent; it matches ErrUnsafe or ErrConflict. A second call
// replaces what the first prepared; Unlock discards it.
type Preparer interface {
	Prepare(ctx context.Context, old Document) error
}

// Settler is a Lock that can make what the store holds durable, whoever wrote
// it: a save that is visible may still be taken back by a power cut. Source
// calls it before it gives up the attempt that a saved successor came from.
type Settler interface {
	Settle(ctx context.Context) error
}

// Codec says what the bytes of a document mean. It is pure and safe for
// concurrent use. credtest.TestCodec is the conformance suite.
type Codec interface {
	// Decode finds our credential. ErrNotFound: the document is sound and holds
	// none. ErrUnsafe: it cannot be understood.
	Decode(doc []byte) (Credential, error)
	// Encode returns doc with c in it; it changes the bytes that the codec owns
	// and no others. Only what a refresh changes is written: both tokens, Expires,
	// and, where they differ from what doc says, Scopes and Deadline.
	Encode(doc []byte, c Credential) ([]byte, error)
}

// Refresher performs one refresh_token grant (RFC 6749 §6). It is split in two,
// so that the raw answer is durable before anybody understands it.
type Refresher interface {
	// Send connects, calls x.Ready, sends the request once, and hands every piece
	// of the answer to x.Received as it arrives. It never sends twice.
	//
	// If the request surely did not leave, the error matches ErrNotSent, and
	// wraps what Ready returned if that was the cause. Any other error means
	// that the fate of the token is unknown; the Answer then holds what came.
	//
	// ctx bounds the time until the first byte is sent; from then on Send has
	// its own bound and ignores ctx.
	Send(ctx context.Context, c Credential, x Exchange) (Answer, error)
	// Parse understands an answer to a grant of sent, perhaps one that another
	// process received and left behind. It is pure.
	Parse(a Answer, sent Credential) Outcome
}

// Exchange is what Source lends to a Refresher for one Send.
type Exchange interface {
	// Ready is called when the connection is up, TLS included, before the first
	// byte of the request. An error means: do not send; close the connection.
	Ready() error
	// Sending is called at the moment when the first byte leaves: from here on
	// the token may be spent.
	Sending()
	// Received makes p, the next piece of the answer as it came off the
	// connection (below HTTP, above TLS), durable. It is called from the
	// connection's Read, before HTTP sees p.
	Received(p []byte)
}

// ErrNotSent marks an error of Refresher.Send after which the refresh token is
// known not to be spent.
var ErrNotSent = fmt.Errorf("%w: the request was not sent", ErrUnavailable)

// Answer is what came back, as it came. It holds secrets and does not print.
type Answer struct {
	raw veiled
	at  time.Time
}

// NewAnswer keeps the bytes of an answer, as Exchange.Received saw them, and the
// time at which they arrived.
func NewAnswer(raw []byte, at time.Time) Answer { return Answer{veil(raw), at} }

// Raw is the answer's bytes; not to be changed.
func (a Answer) Raw() []byte { return a.raw.bytes() }

// At is when the answer arrived (wall clock).
func (a Answer) At() time.Time { return a.at }

// Format is redacted for every verb.
func (a Answer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "answer of %d bytes", len(a.Raw())) }

// LogValue is redacted.
func (a Answer) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

// Verdict is what an answer means for the refresh token that was sent.
type Verdict int

// The verdicts (DESIGN §6.8).
const (
	// Unknown: no usable answer; the token may or may not be spent (8b).
	Unknown Verdict = iota
	// Granted: Outcome.Credential is the successor.
	Granted
	// Committed: a whole answer that is unusable but names another refresh token,
	// which proves that the grant was committed (8b). Of a part of one: Unknown.
	Committed
	// Limited: 429 or 408 (8c); Outcome.Err's RetryAfter may say until when.
	Limited
	// Refused: invalid_grant (8d).
	Refused
	// Foreign: anything else; no verdict on the login (8e).
	Foreign
)

// Outcome is a parsed answer.
type Outcome struct {
	Verdict Verdict
	// Credential is the successor, with what the answer does not speak of kept
	// from the credential that was sent.
	Credential Credential
	// Rotated: the answer names a refresh token other than the one sent.
	Rotated bool
	// Lifetime is how long the endpoint says the access token lives; 0: it did
	// not say, or nothing believable. Source then assumes the last known one.
	Lifetime time.Duration
	// Strange lists what was odd about a usable answer, for the log; no secrets.
	Strange []string
	// Err says what was wrong with an answer that is not Granted.
	Err *RefreshError
}

// Credential is the decoded part of a document that is ours.
type Credential struct {
	Access  Secret
	Refresh Secret // zero: cannot be renewed
	// Expires is the wall-clock end of the access token; zero: unknown, and then
	// it is used until a server refuses it.
	Expires time.Time
	// Deadline is the end of the login itself; zero: unknown.
	Deadline time.Time
	Scopes   []string
	// Blanked: the owner emptied the tokens and kept the rest, because the
	// endpoint refused them (INTEROP §2).
	Blanked bool
	// ClientID is the OAuth client that the login was issued to; empty: the
	// refresher's default (RFC 6749 §6).
	ClientID string
	// Plan and Tier are what the owner wrote of the subscription, for display.
	Plan, Tier string
	// Companions are headers that must accompany the access token.
	Companions http.Header
	// Notes are oddities that the codec tolerated, for status and doctor.
	Notes []string
}

// Document is a document's bytes, whole. It holds secrets and does not print.
type Document struct {
	data  veiled
	mod   time.Time
	place string
	notes []string
	tag   any
}

// DocumentInfo says where a document came from; all of it may be zero.
type DocumentInfo struct {
	// Place is the path or item, with every link resolved.
	Place string
	// Modified is when it last changed; zero: unknown.
	Modified time.Time
	// Notes are warnings about the place, for status and doctor.
	Notes []string
	// Tag is the store's own, for Save and Probe.
	Tag any
}

// NewDocument is for implementers of Store. data is kept, not copied.
func NewDocument(data []byte, info DocumentInfo) Document {
	return Document{veil(data), info.Modified, info.Place, info.Notes, info.Tag}
}

// Bytes are the document's; not to be changed.
func (d Document) Bytes() []byte { return d.data.bytes() }

// IsZero reports whether d was never loaded.
func (d Document) IsZero() bool { return d.data == veiled{} }

// Modified is when the document last changed; zero: unknown.
func (d Document) Modified() time.Time { return d.mod }

// Place is the path or item, with every link resolved.
func (d Document) Place() string { return d.place }

// Notes are warnings about the place.
func (d Document) Notes() []string { return d.notes }

// Tag is the store's own.
func (d Document) Tag() any { return d.tag }

// Format is redacted for every verb.
func (d Document) Format(f fmt.State, _ rune) {
	io.WriteString(f, fmt.Sprintf("document of %d bytes", len(d.Bytes())))
}

// LogValue is redacted.
func (d Document) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }
