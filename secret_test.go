package evercred_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/evercred/evercred"
)

// canary is the secret that FAILURES S1 looks for, in every shape in which a
// formatter could write it.
const canary = "sk-ant-oat01-test-CANARY-sings"

// shapes are what a formatter makes of the canary, as text and as bytes; the
// start of it will do.
var shapes = func() []string {
	set := map[string]bool{base64.StdEncoding.EncodeToString([]byte(canary))[:36]: true}
	for _, format := range formats() {
		if strings.ContainsAny(format, "pT") {
			continue // addresses and types
		}
		for _, naked := range []any{canary, []byte(canary), []byte(canary)[:16]} {
			s := strings.NewReplacer("[]byte", "", "[]uint8", "").Replace(fmt.Sprintf(format, naked))
			if s = strings.Trim(s, "[]{}() "); len(s) > 12 {
				set[s] = true
			}
		}
	}
	return slices.Collect(maps.Keys(set))
}()

// formats are all verbs, those that do not exist too: a wrong verb makes fmt
// print what it holds without asking it (fmt's badVerb).
func formats() []string {
	var all []string
	for _, flags := range []string{"", "+", "#", " ", "# "} {
		for v := 'A'; v <= 'z'; v++ {
			if v <= 'Z' || v >= 'a' {
				all = append(all, "%"+flags+string(v))
			}
		}
	}
	return all
}

func leaks(out string) bool {
	return slices.ContainsFunc(shapes, func(s string) bool { return strings.Contains(out, s) })
}

// TestShapes is the control of the control: the naked secret is seen.
func TestShapes(t *testing.T) {
	type naked struct{ b []byte }
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%z"} {
		if out := fmt.Sprintf(format, &naked{[]byte(canary)}); !leaks(out) {
			t.Errorf("%s of a naked secret is not seen as a leak: %s", format, out)
		}
	}
	if b, _ := json.Marshal([]byte(canary)); !leaks(string(b)) {
		t.Errorf("base64 is not seen as a leak: %s", b)
	}
	if leaks(fmt.Sprintf("%#v", errors.New("something else that is rather long"))) {
		t.Error("everything is seen as a leak")
	}
}

// Structs around a secret; the encoders want them to have names.
type (
	exported   struct{ V, P any }
	unexported struct{ v, p any }
	embedded   struct {
		evercred.Token
		Other evercred.Secret
	}
	held struct {
		t evercred.Token
		s evercred.Secret
		c evercred.Credential
		d evercred.Document
		a evercred.Answer
		o evercred.Outcome
		p *evercred.Token
	}
)

// secretive are the values that hold the canary, alone and in all the places
// where fmt, JSON and slog treat a value differently.
func secretive(t testing.TB) map[string]any {
	tok, err := evercred.NewToken(canary, &evercred.TokenOptions{Expires: time.Now(), Companions: http.Header{"Anthropic-Beta": {"oauth"}}})
	if err != nil {
		t.Fatal(err)
	}
	sec := evercred.NewSecret(canary)
	cred := evercred.Credential{Access: sec, Refresh: sec, Scopes: []string{"user:inference"}, Plan: "max"}
	doc := evercred.NewDocument([]byte(canary), evercred.DocumentInfo{Place: "/tmp/x", Tag: &sec})
	ans := evercred.NewAnswer([]byte(canary), time.Now())
	outcome := evercred.Outcome{Verdict: evercred.Granted, Credential: cred}

	all := make(map[string]any)
	wrong := "failed with %v, %w: %w" // %w of what is no error; vet would see it in place
	place := func(name string, v, p any) {
		all[name] = v
		all["*"+name] = p
		all["[]"+name] = []any{v, p}
		all["map of "+name] = map[string]any{"k": v, "p": p}
		all["exported field "+name] = exported{v, p}
		all["unexported field "+name] = unexported{v, p}
		all["reflect.Value "+name] = reflect.ValueOf(v)
		all["error "+name] = fmt.Errorf(wrong, v, v, os.ErrExist)
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.Struct {
			for i := range rv.NumField() {
				all[fmt.Sprintf("reflect.Value %s.%s", name, rv.Type().Field(i).Name)] = rv.Field(i)
			}
		}
	}
	place("Token", tok, &tok)
	place("Secret", sec, &sec)
	place("Credential", cred, &cred)
	place("Document", doc, &doc)
	place("Answer", ans, &ans)
	place("Outcome", outcome, &outcome)
	place("Provider", evercred.Static(tok), &tok)
	place("Transport", evercred.Transport{Provider: evercred.Static(tok)}, &evercred.Transport{Provider: evercred.Static(tok)})

	// The same in static types: an interface in between changes what fmt does.
	h := held{tok, sec, cred, doc, ans, outcome, &tok}
	all["typed fields"] = h
	all["pointer to typed fields"] = &h
	all["embedded"] = embedded{tok, sec}
	all["slice"] = []evercred.Token{tok}
	all["array"] = [1]evercred.Secret{sec}
	all["map key"] = map[evercred.Token]evercred.Secret{tok: sec}
	all["secret map key"] = map[evercred.Secret]int{sec: 1}
	all["slice of documents"] = []evercred.Document{doc}
	return all
}

// each runs f for every value, by name.
func each(t *testing.T, f func(t *testing.T, v any) string) {
	t.Helper()
	values := secretive(t)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if out := f(t, values[name]); leaks(out) {
			t.Errorf("%s leaks: %.200q", name, out)
		}
	}
}

func TestS1Fmt(t *testing.T) {
	each(t, func(t *testing.T, v any) string {
		var b strings.Builder
		for _, format := range formats() {
			fmt.Fprintf(&b, format+"\n", v)
		}
		fmt.Fprint(&b, v, v)
		fmt.Fprintln(&b, v)
		for _, wrong := range []string{"%w %!", "%[5]d", "none", "%*d"} {
			fmt.Fprintf(&b, wrong, v, v)
		}
		return b.String()
	})
}

// TestS1Marshal ignores the encoders' errors: what was written before one counts.
func TestS1Marshal(t *testing.T) {
	each(t, func(t *testing.T, v any) string {
		var b bytes.Buffer
		plain, err := json.Marshal(v)
		indented, _ := json.MarshalIndent(v, "", "\t")
		b.Write(plain)
		b.Write(indented)
		fmt.Fprintln(&b, err)
		err = xml.NewEncoder(&b).Encode(v)
		fmt.Fprintln(&b, err)
		err = gob.NewEncoder(&b).Encode(v)
		fmt.Fprintln(&b, err)
		return b.String()
	})
}

func TestS1Slog(t *testing.T) {
	each(t, func(t *testing.T, v any) string {
		var b bytes.Buffer
		opts := &slog.HandlerOptions{Level: slog.LevelDebug}
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, opts), slog.NewJSONHandler(&b, opts)} {
			l := slog.New(h)
			l.Info("m", "v", v, "group", slog.GroupValue(slog.Any("v", v)))
			l.With("v", v).WithGroup("g").Debug("m", slog.Any("v", v))
			l.Info(fmt.Sprint(v), v) // a value in the place of a key
		}
		return b.String()
	})
}

func TestS1Template(t *testing.T) {
	const page = `{{.}} {{print .}} {{printf "%q %s %x %d %#v" . . . . .}} {{html .}} {{js .}} {{urlquery .}}`
	each(t, func(t *testing.T, v any) string {
		if rv, ok := v.(reflect.Value); ok && !rv.CanInterface() {
			return "" // the template packages panic
		}
		var b strings.Builder
		template.Must(template.New("").Parse(page)).Execute(&b, v)
		htmltemplate.Must(htmltemplate.New("").Parse(`<script>x = {{.}}</script><a href="/?q={{.}}">{{.}}</a>`)).Execute(&b, v)
		return b.String()
	})
}

// TestS1Panic lets a child die of a panic with each value, as a program would.
func TestS1Panic(t *testing.T) {
	const variable = "EVERCRED_TEST_PANIC"
	if name := os.Getenv(variable); name != "" {
		v := secretive(t)[name]
		panic(v)
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, name := range []string{"Token", "*Token", "Secret", "Credential", "Document", "Answer", "Outcome", "typed fields", "error Token", "embedded"} {
		t.Run(name, func(t *testing.T) {
			child := exec.Command(os.Args[0], "-test.run=^TestS1Panic$")
			child.Env = append(os.Environ(), variable+"="+name, "GOTRACEBACK=system")
			out, err := child.CombinedOutput()
			if exit := new(exec.ExitError); !errors.As(err, &exit) || !bytes.Contains(out, []byte("panic: ")) {
				t.Fatalf("the child did not panic: %v\n%s", err, out)
			}
			if leaks(string(out)) {
				t.Errorf("a panic leaks:\n%s", out)
			}
		})
	}
}

func TestSecret(t *testing.T) {
	s := evercred.NewSecret(canary)
	if s.Reveal() != canary || s.IsZero() {
		t.Error("a secret does not hold what it was given")
	}
	if fmt.Sprint(s) != evercred.Redacted || s.GoString() != evercred.Redacted {
		t.Errorf("a secret prints as %v, %#v", s, s)
	}
	if !s.Equal(evercred.NewSecret(strings.Clone(canary))) || s.Equal(evercred.NewSecret(canary+"x")) || s.Equal(evercred.Secret{}) {
		t.Error("Equal does not compare secrets")
	}
	// sha256sum of "abc", FIPS 180-2 appendix B.1.
	if f := evercred.NewSecret("abc").Fingerprint(); f != "ba7816bf8f01" {
		t.Errorf("fingerprint %q", f)
	}
}

func TestDocumentAndAnswerHoldWhatTheyWereGiven(t *testing.T) {
	now := time.Now()
	d := evercred.NewDocument([]byte(canary), evercred.DocumentInfo{Place: "/x", Modified: now, Notes: []string{"loose"}, Tag: 7})
	if string(d.Bytes()) != canary || d.IsZero() || d.Place() != "/x" || !d.Modified().Equal(now) || !slices.Equal(d.Notes(), []string{"loose"}) || d.Tag() != 7 {
		t.Errorf("document %v", d)
	}
	if d := evercred.NewDocument(nil, evercred.DocumentInfo{}); d.IsZero() || d.Bytes() != nil {
		t.Error("an empty document was never loaded")
	}
	if a := evercred.NewAnswer([]byte(canary), now); string(a.Raw()) != canary || !a.At().Equal(now) {
		t.Errorf("answer %v", a)
	}
}

func TestZeroSecret(t *testing.T) {
	for _, s := range []evercred.Secret{{}, evercred.NewSecret("")} {
		if !s.IsZero() || s.Reveal() != "" || s.Fingerprint() != "" || fmt.Sprintf("%v%#v%s", s, s, s) != "" || !s.Equal(evercred.Secret{}) {
			t.Errorf("the zero secret is not empty: %#v", s)
		}
	}
	if d := (evercred.Document{}); d.Bytes() != nil || !d.IsZero() || d.Place() != "" || fmt.Sprint(d) == "" {
		t.Error("the zero document is not empty")
	}
	if a := (evercred.Answer{}); a.Raw() != nil || !a.At().IsZero() || fmt.Sprint(a) == "" {
		t.Error("the zero answer is not empty")
	}
}
