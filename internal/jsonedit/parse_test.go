package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// nested is n arrays in one another.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestParseRefuses(t *testing.T) { // F6
	tests := []struct {
		name, text string
		offset     int
		what       string
	}{
		{"empty", "", 0, "the text is empty"},
		{"white space", " \n\t", 3, "the text is empty"},
		{"only a mark", byteOrderMark, 3, "the text is empty"},
		{"half a file", `{"a":{"b":"c`, 12, "ends in the middle"},
		{"half a key", `{"a`, 3, "ends in the middle"},
		{"half an escape", `"\u00`, 5, "ends in the middle"},
		{"half a literal", `[tru`, 4, "ends in the middle"},
		{"half a number", `-`, 1, "ends in the middle"},
		{"half an exponent", `1e+`, 3, "ends in the middle"},
		{"after a comma", `{"a":1,`, 7, "ends in the middle"},
		{"trailing bytes", `{}{}`, 2, "more bytes"},
		{"trailing bracket", `{"a":1}}`, 7, "more bytes"},
		{"trailing NULs", "{}\n\x00\x00", 3, "NUL"},
		{"all NULs", "\x00\x00\x00\x00", 0, "NUL"},
		{"NUL in a string", "[\"a\x00b\"]", 3, "NUL"},
		{"UTF-16, little end first, marked", "\xff\xfe{\x00}\x00", 0, "UTF-16"},
		{"UTF-16, big end first, marked", "\xfe\xff\x00{\x00}", 0, "UTF-16"},
		{"UTF-16, little end first", "{\x00}\x00", 0, "UTF-16"},
		{"UTF-16, big end first", "\x00{\x00}", 0, "UTF-16"},
		{"two marks", byteOrderMark + byteOrderMark + "{}", 3, "not a JSON value"},
		{"control character", "\"a\nb\"", 2, "control character"},
		{"wrong escape", `"\x41"`, 2, "wrong escape"},
		{"wrong hex", `"\u00g0"`, 5, "wrong escape"},
		{"comma before the end", `[1,]`, 3, "not a JSON value"},
		{"comma before the end of an object", `{"a":1,}`, 7, "not the name"},
		{"no key", `{1:2}`, 1, "not the name"},
		{"no colon", `{"a" 1}`, 5, "no colon"},
		{"wrong bracket", `[1}`, 2, "neither a comma"},
		{"two values", `[1 2]`, 3, "neither a comma"},
		{"leading zero", `01`, 1, "more bytes"},
		{"two zeros", `-00`, 2, "more bytes"},
		{"leading plus", `+1`, 0, "not a JSON value"},
		{"bare fraction", `1.`, 2, "ends in the middle"},
		{"NaN", `NaN`, 0, "not a JSON value"},
		{"comment", `{} // x`, 3, "more bytes"},
		{"not UTF-8 outside a string", "{\xff}", 1, "not the name"},
		{"too deep", nested(MaxDepth + 1), MaxDepth, "nested deeper"},
		{"20,000 deep", nested(20_000), MaxDepth, "nested deeper"},
		{"20,000 objects deep", strings.Repeat(`{"a":`, 20_000), 5 * MaxDepth, "nested deeper"},
		{"16 MB of brackets", strings.Repeat("[", 16<<20), MaxDepth, "nested deeper"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("got %v, want a *SyntaxError", err)
			}
			if syntax.Offset != test.offset || !strings.Contains(syntax.What, test.what) {
				t.Errorf("got %q at %d, want %q at %d", syntax.What, syntax.Offset, test.what, test.offset)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `null`, `true`, `false`, `""`, `0`, `-0.0e-1`, "\r\n\t {} \n",
		`{"a":{"b":[{},[],{"c":[1,2,{"d":"e"}]}]}}`,
		`"\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00\ud800"`,
		"\"\x7f\xff\xc3\"", // not UTF-8 in a string is kept, as encoding/json keeps it
		`12345678901234567890123456789.50E+400`,
		nested(MaxDepth),
		byteOrderMark + ` {"a":1}`,
	} {
		d, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		if want := strings.Trim(text, byteOrderMark+" \r\n\t"); string(d.Root().Raw()) != want {
			t.Errorf("%.40q: the root is %.40q", text, d.Root().Raw())
		}
	}
}

// Every prefix of a document is refused as cut off: this is how a reader meets
// an owner that writes in place (INTEROP §2).
func TestParseEveryPrefix(t *testing.T) {
	const text = `{"a":[1.5e-3,true,null],"\u0062":{"c":"d\\e\u00e9"},"f":{},"g":[]}`
	for n := range len(text) {
		_, err := Parse([]byte(text[:n]))
		if n > 0 && (err == nil || !strings.Contains(err.Error(), "ends in the middle")) {
			t.Errorf("%q: got %v", text[:n], err)
		}
	}
}

// A document of another program's secrets is scanned, not copied.
func TestParseCostsNoMemory(t *testing.T) {
	text := large(1 << 20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Root().Find("ours", "a").Text(); got != "b" {
		t.Fatalf("found %q", got)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<10 {
		t.Errorf("a look at a document of 1 MiB allocated %d bytes", used)
	}
}

// large is a document of about size bytes in which the interesting member is last.
func large(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"neighbours":{`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `"server-%d|0a1b":{"token":"invented \u00e9\n %d","expiresAt":%d,"tags":["x",{"y":null}]},`, i, i, i)
	}
	b.WriteString(`"z":0},"ours":{"a":"b"}}`)
	return b.Bytes()
}

func BenchmarkParseAndFind1MB(b *testing.B) {
	text := large(1 << 20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Parse(text)
		if err != nil || d.Root().Find("ours", "a").Text() != "b" {
			b.Fatal(err)
		}
	}
}

// FuzzParse: the same verdict as encoding/json, but for a byte order mark.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		valid := json.Valid(bytes.TrimPrefix(text, []byte(byteOrderMark)))
		if (err == nil) != valid {
			t.Fatalf("Parse says %v, encoding/json says valid=%v", err, valid)
		}
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) {
				t.Fatalf("a strange error: %v", err)
			}
			return
		}
		walk(d.Root(), 0)
	})
}

// walk visits every member of nested objects; it panics where the scan of a
// checked text goes wrong.
func walk(v Value, depth int) {
	if depth > 50 {
		return
	}
	for m := range v.members() {
		if m.value.Kind() == Absent || !json.Valid(m.value.Raw()) {
			panic("a member without a value")
		}
		v.member(unquote(v.doc.text()[m.keyStart:m.keyEnd]))
		walk(m.value, depth+1)
	}
}

// seeds are the shapes that the fuzz targets start from.
var seeds = []string{
	``, `{}`, `[]`, `{ }`, "\n", byteOrderMark + `{"a":1}`, `{"a":1}x`, "{\x00", `"\ud800"`, `[1,]`, `-0e+1`,
	`{"a":{"b":"c"},"d":[1,2,{"e":null}],"a":{"b":"f"}}`,
	"{\n  \"a\": {\n    \"b\": 1.50\n  },\n  \"d\": true\n}\n",
	`{"\u0061":12345678901234567890,"b":"\u00e9\/"}`,
	"{\"\xff\":\"\xc3\", \"a\":{}}",
}
