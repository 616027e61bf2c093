package credtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

// lines is a codec for a document of "name=value" lines: the first of a name
// counts, other lines are foreign.
type lines struct{}

var sampleLines = []byte(`# kept:  1.50 \u00e9
other=1.50
access=sk-ant-oat01-test-of-the-line-codec
scopes=user:inference user:profile
refresh=sk-ant-ort01-test-of-the-line-codec
expires=1700000000
  foreign = two  spaces  ` + "\n")

func value(doc []byte, name string) (v string, from, to int, ok bool) {
	at := 0
	for line := range bytes.Lines(doc) {
		if rest, found := bytes.CutPrefix(line, []byte(name+"=")); found {
			rest = bytes.TrimSuffix(rest, []byte("\n"))
			from = at + len(name) + 1
			return string(rest), from, from + len(rest), true
		}
		at += len(line)
	}
	return "", 0, 0, false
}

func unsafe(what string) error { return &evercred.Error{Kind: evercred.ErrUnsafe, What: what} }

func (lines) Decode(doc []byte) (c evercred.Credential, err error) {
	if bytes.ContainsRune(doc, 0) {
		return c, unsafe("NUL in the document")
	}
	access, _, _, ok := value(doc, "access")
	if !ok {
		return c, &evercred.Error{Kind: evercred.ErrNotFound, What: "no access line"}
	}
	refresh, _, _, ok := value(doc, "refresh")
	c.Blanked = access == "" && refresh == "" && ok
	c.Access, c.Refresh = evercred.NewSecret(access), evercred.NewSecret(refresh)
	expires, _, _, _ := value(doc, "expires")
	if n, err := strconv.ParseInt(expires, 10, 64); err == nil {
		c.Expires = time.Unix(n, 0)
	}
	scopes, _, _, _ := value(doc, "scopes")
	c.Scopes = strings.Fields(scopes)
	return c, nil
}

func (l lines) Encode(doc []byte, c evercred.Credential) ([]byte, error) {
	if _, err := l.Decode(doc); err != nil {
		return nil, err
	}
	out := bytes.Clone(doc)
	for _, m := range [][2]string{
		{"access", c.Access.Reveal()}, {"refresh", c.Refresh.Reveal()}, {"expires", strconv.FormatInt(c.Expires.Unix(), 10)},
	} {
		if _, from, to, ok := value(out, m[0]); ok {
			out = []byte(string(out[:from]) + m[1] + string(out[to:]))
		} else {
			_, from, _, _ := value(out, "access")
			from -= len("access=")
			out = []byte(string(out[:from]) + m[0] + "=" + m[1] + "\n" + string(out[from:]))
		}
	}
	return out, nil
}

func samples() [][]byte {
	return [][]byte{
		sampleLines,
		bytes.Replace(sampleLines, []byte("expires=1700000000\n"), nil, 1), // no expiry
		bytes.Replace(sampleLines, []byte("1700000000"), []byte("soon"), 1),
		[]byte("access=\nrefresh=\nexpires=0\n"), // blanked
		[]byte("access=sk-ant-oat01-test-alone-on-its-line\n"),
		[]byte("# nobody is logged in\n"),
		[]byte("\x00"),
		nil,
	}
}

func TestGoodCodecPasses(t *testing.T) { TestCodec(t, lines{}, samples()...) }

// spoiltCodec is lines with one mistake.
type spoiltCodec struct {
	lines
	decode func(doc []byte) (evercred.Credential, error)
	encode func(doc []byte, c evercred.Credential) ([]byte, error)
}

func (s spoiltCodec) Decode(doc []byte) (evercred.Credential, error) {
	if s.decode != nil {
		return s.decode(doc)
	}
	return s.lines.Decode(doc)
}

func (s spoiltCodec) Encode(doc []byte, c evercred.Credential) ([]byte, error) {
	if s.encode != nil {
		return s.encode(doc, c)
	}
	return s.lines.Encode(doc, c)
}

// after spoils what a good Encode gave.
func after(spoil func(out []byte) []byte) spoiltCodec {
	return spoiltCodec{encode: func(doc []byte, c evercred.Credential) ([]byte, error) {
		out, err := lines{}.Encode(doc, c)
		if err != nil {
			return nil, err
		}
		return spoil(out), nil
	}}
}

func swap(from, to string) func([]byte) []byte {
	return func(out []byte) []byte { return bytes.Replace(out, []byte(from), []byte(to), 1) }
}

// Every mistake that the suite is there to find must be found.
func TestBadCodecsFail(t *testing.T) {
	var shared []byte
	for _, c := range []struct {
		name  string
		codec spoiltCodec
		says  string
	}{
		{"drops a foreign line", after(swap("other=1.50\n", "")), "foreign bytes changed"},
		{"rounds a foreign number", after(swap("other=1.50", "other=1.5")), "foreign bytes changed"},
		{"turns an escape into its character", after(swap(`\u00e9`, "é")), "foreign bytes changed"},
		{"trims white space", after(bytes.TrimSpace), "foreign bytes changed"},
		{"moves foreign lines", after(func(out []byte) []byte {
			return append(swap("# kept:  1.50 \\u00e9\n", "")(out), "# kept:  1.50 \\u00e9\n"...)
		}), "foreign bytes changed"},
		{"appends each time", after(func(out []byte) []byte { return append(out, '\n') }), "encoding twice"},
		{"forgets the expiry", spoiltCodec{encode: func(doc []byte, c evercred.Credential) ([]byte, error) {
			old, err := lines{}.Decode(doc)
			c.Expires = old.Expires
			if err != nil {
				return nil, err
			}
			return lines{}.Encode(doc, c)
		}}, "Expires"},
		{"forgets the scopes", after(swap("scopes=user:inference", "scopes=")), "Scopes"},
		{"creates a login", spoiltCodec{encode: func(doc []byte, c evercred.Credential) ([]byte, error) {
			if _, err := (lines{}).Decode(doc); errors.Is(err, evercred.ErrNotFound) {
				doc = append([]byte("access=\n"), doc...)
			}
			return lines{}.Encode(doc, c)
		}}, "made a login"},
		{"panics", spoiltCodec{decode: func(doc []byte) (evercred.Credential, error) {
			if len(doc) > 0 && doc[len(doc)-1] == '=' {
				panic("index out of range")
			}
			return lines{}.Decode(doc)
		}}, "panics"},
		{"speaks of the document", spoiltCodec{decode: func(doc []byte) (evercred.Credential, error) {
			c, err := lines{}.Decode(doc)
			if err != nil {
				err = unsafe(fmt.Sprintf("cannot understand %q", doc))
			}
			return c, err
		}}, "repeats bytes"},
		{"has errors of its own", spoiltCodec{decode: func(doc []byte) (evercred.Credential, error) {
			c, err := lines{}.Decode(doc)
			if err != nil {
				err = errors.New("bad")
			}
			return c, err
		}}, "neither ErrNotFound nor ErrUnsafe"},
		{"refuses a good document", spoiltCodec{encode: func([]byte, evercred.Credential) ([]byte, error) {
			return nil, unsafe("no")
		}}, "Encode into"},
		{"writes what it cannot read", after(swap("access=", "acces=")), "cannot be decoded"},
		{"writes into its input", spoiltCodec{encode: func(doc []byte, c evercred.Credential) ([]byte, error) {
			out, err := lines{}.Encode(doc, c)
			if len(doc) > 0 {
				doc[0] = 'X'
			}
			return out, err
		}}, "changed its input"},
		{"reuses its output", spoiltCodec{encode: func(doc []byte, c evercred.Credential) ([]byte, error) {
			out, err := lines{}.Encode(doc, c)
			if err == nil && shared == nil {
				shared = out
			}
			if err == nil && len(out) == len(shared) {
				return shared, nil
			}
			return out, err
		}}, "share bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := record(t, func(t testing.TB) {
				for _, doc := range samples() {
					if checkDocument(t, c.codec, bytes.Clone(doc), true); t.Failed() {
						return
					}
				}
				chance := rand.New(rand.NewPCG(1, 2))
				for range mutants {
					if checkDocument(t, c.codec, spoil(chance, sampleLines), false); t.Failed() {
						return
					}
				}
			})
			if !r.failed || !strings.Contains(r.text(), c.says) {
				t.Errorf("the suite says %q, want %q", r.text(), c.says)
			}
		})
	}
}

// What an expiry may become, and what is no expiry.
func TestForeignBytes(t *testing.T) {
	old := evercred.Credential{Access: evercred.NewSecret("old-access"), Refresh: evercred.NewSecret("old-refresh")}
	next := successor(old)
	a, r := next.Access.Reveal(), next.Refresh.Reveal()
	doc := func(access, refresh, tail string) []byte {
		return fmt.Appendf(nil, `{"x": 1.50, "o": {"accessToken": %q, "refreshToken":%q%s}, "y": [1, 2]}`, access, refresh, tail)
	}
	for _, c := range []struct {
		name          string
		before, after []byte
		fine          bool
	}{
		{"number", doc("old-access", "old-refresh", `,"expiresAt":1700000000000`), doc(a, r, `,"expiresAt":1923456789000`), true},
		{"null", doc("old-access", "old-refresh", `,"expiresAt":null`), doc(a, r, `,"expiresAt":1923456789000`), true},
		{"fraction", doc("old-access", "old-refresh", `,"expiresAt":1.7e12`), doc(a, r, `,"expiresAt":1923456789000`), true},
		{"string", doc("old-access", "old-refresh", `,"expiresAt":"2026-01-01T00:00:00Z"`), doc(a, r, `,"expiresAt":1923456789000`), true},
		{"absent", doc("old-access", "old-refresh", ""), doc(a, r, `,"expiresAt":1923456789000`), true},
		{"a space gone", doc("old-access", "old-refresh", `, "expiresAt":1700000000000`), doc(a, r, `,"expiresAt":1923456789000`), false},
		{"a space gone before the value", doc("old-access", "old-refresh", `,"expiresAt": 1700000000000`), doc(a, r, `,"expiresAt":1923456789000`), false},
		{"a member gone", doc("old-access", "old-refresh", `,"z":1,"expiresAt":1700000000000`), doc(a, r, `,"expiresAt":1923456789000`), false},
		{"a member more", doc("old-access", "old-refresh", `,"expiresAt":1700000000000`), doc(a, r, `,"expiresAt":1923456789000,"z":1`), false},
		{"order", doc("old-access", "old-refresh", ""), bytes.Replace(doc(a, r, ""), []byte(`"x": 1.50, `), nil, 1), false},
		{"a token elsewhere", doc("old-access", "old-refresh", ""), doc(a, r, `,"copy":"`+r+`"`), false},
	} {
		rec := record(t, func(t testing.TB) { checkForeign(t, c.before, c.after, old, next, true) })
		if rec.failed == c.fine {
			t.Errorf("%s: %s", c.name, rec.text())
		}
	}
}

// A suite that could compare nothing must not pass.
func TestCodecWantsASample(t *testing.T) {
	if standsPlain([]byte("nothing"), evercred.Credential{}) {
		t.Error("an empty credential counts as a sample")
	}
	c, err := lines{}.Decode(sampleLines)
	if err != nil || !standsPlain(sampleLines, c) || standsPlain(append(sampleLines, sampleLines...), c) {
		t.Error("the sample is not recognised")
	}
}
