package credtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

// Of each sample the suite tries so many spoilt copies, but no more than so
// many bytes of them.
const (
	mutants     = 1000
	mutantBytes = 8 << 20
)

// TestCodec checks that a codec keeps the contract of evercred.Codec on the
// samples, and on spoilt copies of them: what was encoded is decoded, encoding
// twice changes nothing, every byte outside the owned values stays, a login
// that is not there is not created, no secret prints, and nothing panics.
//
// The samples are documents as the owner writes them. At least one must hold a
// renewable credential whose two tokens stand in it once each, as they are:
// only there can the suite tell the owned bytes from the others. Documents
// without a credential and broken ones are good samples too.
func TestCodec(t *testing.T, c evercred.Codec, samples ...[]byte) {
	plain := 0
	for i, doc := range samples {
		if cred, err := c.Decode(doc); err == nil && standsPlain(doc, cred) {
			plain++
		}
		t.Run(fmt.Sprint("sample ", i), func(t *testing.T) { checkCodec(t, c, doc) })
	}
	if plain == 0 {
		t.Error("no sample holds a renewable credential whose tokens stand in it once each")
	}
}

// checkCodec checks one sample, then spoilt copies of it, in several goroutines
// as a codec must bear.
func checkCodec(t testing.TB, c evercred.Codec, doc []byte) {
	checkDocument(t, c, doc, true)
	if t.Failed() {
		return
	}
	const workers = 4
	n := min(mutants, mutantBytes/(len(doc)+1))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(len(doc)), uint64(w)))
			for range n / workers {
				if checkDocument(t, c, spoil(chance, doc), false); t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
}

// checkDocument holds the codec to its contract on one document. Encode may
// refuse one that is not sound, though Decode could read it.
func checkDocument(t testing.TB, c evercred.Codec, doc []byte, sound bool) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("the codec panics on %s: %v", excerpt(doc), p)
		}
	}()
	kept := bytes.Clone(doc)
	cred, err := c.Decode(doc)
	switch {
	case err != nil:
		checkUndecodable(t, c, doc, err)
	case cred.Refresh.IsZero() && !cred.Blanked:
		checkSilent(t, cred) // never refreshed, so never encoded
	default:
		checkSilent(t, cred)
		checkSuccessor(t, c, doc, cred, sound)
	}
	if !bytes.Equal(doc, kept) {
		t.Errorf("the codec changed its input %s", excerpt(kept))
	}
}

// checkUndecodable: the error is of the contract, and Encode puts no login where
// none is.
func checkUndecodable(t testing.TB, c evercred.Codec, doc []byte, err error) {
	t.Helper()
	if !errors.Is(err, evercred.ErrNotFound) && !errors.Is(err, evercred.ErrUnsafe) {
		t.Errorf("Decode of %s: the error is neither ErrNotFound nor ErrUnsafe: %v", excerpt(doc), err)
	}
	checkError(t, doc, err)
	if out, err := c.Encode(doc, successor(evercred.Credential{})); err == nil {
		t.Errorf("Encode made a login of a document without one: %s became %s", excerpt(doc), excerpt(out))
	} else {
		checkError(t, doc, err)
	}
}

// checkSuccessor: what a refresh does to a document, a blanked one too
// (FAILURES R4, R22).
func checkSuccessor(t testing.TB, c evercred.Codec, doc []byte, cred evercred.Credential, sound bool) {
	t.Helper()
	next := successor(cred)
	out, err := c.Encode(doc, next)
	if err != nil {
		checkError(t, doc, err)
		if sound || !errors.Is(err, evercred.ErrUnsafe) {
			t.Errorf("Encode into %s: %v", excerpt(doc), err)
		}
		return
	}
	got, err := c.Decode(out)
	if err != nil {
		t.Errorf("%s was encoded to %s, which cannot be decoded: %v", excerpt(doc), excerpt(out), err)
		return
	}
	for _, d := range differences(next, got) {
		t.Errorf("%s: %s came back different from Encode and Decode", excerpt(doc), d)
	}
	if again, err := c.Encode(out, next); err != nil || !bytes.Equal(out, again) {
		t.Errorf("encoding twice is not encoding once: %s became %s (%v)", excerpt(out), excerpt(again), err)
	}
	if standsPlain(doc, cred) {
		checkForeign(t, doc, out, cred, next, sound)
	}
	checkUnaliased(t, c, doc, out, next)
}

// checkUnaliased: changing the output must not reach the input or a later output.
func checkUnaliased(t testing.TB, c evercred.Codec, doc, out []byte, next evercred.Credential) {
	t.Helper()
	want := bytes.Clone(out)
	clear(out)
	if again, err := c.Encode(doc, next); err != nil || !bytes.Equal(again, want) {
		t.Errorf("two calls of Encode share bytes, or give different results for %s", excerpt(doc))
	}
}

// successor is what a grant makes of a credential. Whole seconds: some owners
// store no more.
func successor(c evercred.Credential) evercred.Credential {
	c.Access = evercred.NewSecret("sk-ant-oat01-test-successor-of-the-codec-suite")
	c.Refresh = evercred.NewSecret("sk-ant-ort01-test-successor-of-the-codec-suite")
	c.Expires = time.Unix(1_923_456_789, 0)
	c.Blanked = false
	return c
}

// differences names the members that differ.
func differences(want, got evercred.Credential) (names []string) {
	for name, same := range map[string]bool{
		"Access":     want.Access.Equal(got.Access),
		"Refresh":    want.Refresh.Equal(got.Refresh),
		"Expires":    want.Expires.Equal(got.Expires),
		"Deadline":   want.Deadline.Equal(got.Deadline),
		"Scopes":     slices.Equal(want.Scopes, got.Scopes),
		"Blanked":    want.Blanked == got.Blanked,
		"ClientID":   want.ClientID == got.ClientID,
		"Plan":       want.Plan == got.Plan,
		"Tier":       want.Tier == got.Tier,
		"Companions": fmt.Sprint(want.Companions) == fmt.Sprint(got.Companions),
	} {
		if !same {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// standsPlain reports whether both tokens stand in doc once, as they are.
func standsPlain(doc []byte, c evercred.Credential) bool {
	a, r := c.Access.Reveal(), c.Refresh.Reveal()
	return a != "" && r != "" && !strings.Contains(a, r) && !strings.Contains(r, a) &&
		bytes.Count(doc, []byte(a)) == 1 && bytes.Count(doc, []byte(r)) == 1
}

// checkForeign compares documents before and after a refresh outside the owned
// values. The tokens cut both into three pieces; the pieces are the same, except
// for the expiry: one value, replaced or added, in one of them. In a spoilt
// document the old value can be anything, but not long.
func checkForeign(t testing.TB, before, after []byte, old, next evercred.Credential, sound bool) {
	t.Helper()
	if !standsPlain(after, next) {
		t.Errorf("the new tokens do not stand in %s as the old ones did in %s", excerpt(after), excerpt(before))
		return
	}
	was, is := pieces(before, old), pieces(after, next)
	changed := 0
	for i := range was {
		if bytes.Equal(was[i], is[i]) {
			continue
		}
		changed++
		a, b := middle(was[i], is[i])
		if changed > 1 || sound && !scalar.Match(a) || len(a) > 60 || !expiry.Match(b) {
			t.Errorf("foreign bytes changed: %s became %s", excerpt(was[i]), excerpt(is[i]))
		}
	}
}

var (
	// scalar is what an old expiry can be: at most one value, or a part of it.
	scalar = regexp.MustCompile(`^"?[A-Za-z0-9.+:\[\]{}-]{0,40}"?$`)
	// expiry is what a new one can be: a value, perhaps with its name.
	expiry = regexp.MustCompile(`^[\s,"]*([A-Za-z_]+"?\s*[:=]\s*)?"?[A-Za-z0-9.+:-]{0,40}"?[\s,"]*([A-Za-z_]*"?\s*[:=]?\s*)?$`)
)

// pieces cuts doc at its two tokens, which must stand in it once each.
func pieces(doc []byte, c evercred.Credential) [3][]byte {
	first, second := []byte(c.Access.Reveal()), []byte(c.Refresh.Reveal())
	if bytes.Index(doc, first) > bytes.Index(doc, second) {
		first, second = second, first
	}
	a, rest, _ := bytes.Cut(doc, first)
	b, z, _ := bytes.Cut(rest, second)
	return [3][]byte{a, b, z}
}

// middle is what remains of a and b without their common ends.
func middle(a, b []byte) ([]byte, []byte) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

// checkSilent: nothing that prints a credential prints its tokens.
func checkSilent(t testing.TB, c evercred.Credential) {
	t.Helper()
	text, err := json.Marshal(c) // which may fail: JSON knows no year 10000
	printed := fmt.Sprintf("%s %v %v %+v %#v", text, err, c, c, c)
	if leaks(printed, worthHiding(c)...) {
		t.Error("a decoded credential prints a token")
	}
}

// worthHiding leaves out what mutation made so short that it stands anywhere.
func worthHiding(c evercred.Credential) (secrets []string) {
	for _, s := range []evercred.Secret{c.Access, c.Refresh} {
		if len(s.Reveal()) >= 12 {
			secrets = append(secrets, s.Reveal())
		}
	}
	return secrets
}

// tokenLike is what an error must not repeat.
var tokenLike = regexp.MustCompile(`[A-Za-z0-9_-]{28,}`)

// checkError: an error repeats no long word of the document.
func checkError(t testing.TB, doc []byte, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v", err, err)
	for _, word := range tokenLike.FindAllString(text, -1) {
		if bytes.Contains(doc, []byte(word)) {
			t.Errorf("an error repeats bytes of the document: %q…", word[:8])
			return
		}
	}
}

// spoil gives a copy of doc with a few bytes changed.
func spoil(r *rand.Rand, doc []byte) []byte {
	d := bytes.Clone(doc)
	pick := []byte("\"\\{}[]:,. \t\n0123456789eE+-nulltruefalse\x00\x7f\xc3\xff")
	for range 1 + r.IntN(3) {
		at := r.IntN(len(d) + 1)
		end := at + r.IntN(min(len(d)-at, 20)+1)
		switch r.IntN(6) {
		case 0: // cut off
			d = d[:at]
		case 1: // take away
			d = slices.Delete(d, at, end)
		case 2: // repeat
			d = slices.Insert(d, at, bytes.Clone(d[at:end])...)
		case 3: // a blank, which changes nothing in most places
			d = slices.Insert(d, at, ' ')
		case 4:
			d = slices.Insert(d, at, pick[r.IntN(len(pick))])
		default:
			if at < len(d) {
				d[at] = pick[r.IntN(len(pick))]
			}
		}
	}
	return d
}

// excerpt shows a sample for a failure, without what may be a real token.
func excerpt(doc []byte) string {
	text := tokenLike.ReplaceAll(doc, []byte("…"))
	if len(text) > 400 {
		text = append(slices.Clone(text[:400]), "…"...)
	}
	return fmt.Sprintf("%q", text)
}
