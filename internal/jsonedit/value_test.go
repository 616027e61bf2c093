package jsonedit

import (
	"fmt"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) *Doc {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return d
}

func TestFind(t *testing.T) {
	const text = byteOrderMark + `{ "a" : { "b" : 1.50 } , "s":"x\u00e9", "n":null, "t":true, "l":[{"b":1}],
		"dup":{"b":1}, "dup":{"c":2}, "\u0065sc":"1", "😀":"2", "\ud83d\ude01":"3", "q\"\\":"4", "":"5", "last":{"b":1}, "last":null}`
	d := parse(t, text)
	tests := []struct {
		path string // elements divided by /
		kind Kind
		raw  string
	}{
		{"a", Object, `{ "b" : 1.50 }`},
		{"a/b", Number, `1.50`},
		{"s", String, `"x\u00e9"`},
		{"n", Null, `null`},
		{"t", Bool, `true`},
		{"l", Array, `[{"b":1}]`},
		{"esc", String, `"1"`},
		{"😀", String, `"2"`},
		{"😁", String, `"3"`},
		{`q"\`, String, `"4"`},
		{"", String, `"5"`},
		{"dup/c", Number, `2`},
		{"dup/b", Absent, ``}, // the last duplicate counts, whole
		{"last/b", Absent, ``},
		{"last", Null, `null`},
		{"b", Absent, ``}, // not at the root
		{"A", Absent, ``}, // names are exact, unlike those of encoding/json
		{"l/b", Absent, ``},
		{"s/b", Absent, ``},
		{"none/b", Absent, ``},
		{`\u0065sc`, Absent, ``},
	}
	for _, test := range tests {
		v := d.Root().Find(strings.Split(test.path, "/")...)
		if v.Kind() != test.kind || string(v.Raw()) != test.raw {
			t.Errorf("%s: got %v %q, want %v %q", test.path, v.Kind(), v.Raw(), test.kind, test.raw)
		}
		if v.Kind() != Absent && text[v.Start():v.End()] != test.raw {
			t.Errorf("%s: Start and End do not enclose it", test.path)
		}
	}
}

// What is not UTF-8 means U+FFFD to every reader of JSON, so to us.
func TestFindInvalidUTF8(t *testing.T) {
	d := parse(t, "{\"\xff\":1,\"a\xff\":\"b\xff\"}")
	if got := d.Root().Find("\ufffd").Kind(); got != Number {
		t.Errorf("got %v", got)
	}
	if got := d.Root().Find("a\ufffd").Text(); got != "b\ufffd" {
		t.Errorf("got %q", got)
	}
	if got := d.Root().Find("\xff").Kind(); got != Absent {
		t.Errorf("got %v", got)
	}
}

func TestText(t *testing.T) {
	d := parse(t, `["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800"]`)
	v := Value{d, 1, d.end - 1}
	if got, want := v.Text(), "\"\\/\b\f\n\r\té😀\ufffd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, text := range []string{"1", "null", "[]", "{}", "true"} {
		if got := parse(t, text).Root().Text(); got != "" {
			t.Errorf("%s: got %q", text, got)
		}
	}
	if got := (Value{}).Text(); got != "" {
		t.Errorf("the zero Value: got %q", got)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":         `""`,
		`a"b\c`:    `"a\"b\\c"`,
		"<&>/é":    `"<&>/é"`,
		"\n\x01":   `"\n\u0001"`,
		"bad\xff!": `"bad\ufffd!"`,
	} {
		if got := string(Quote(in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// S1: nothing of a text gets out through fmt.
func TestNothingPrints(t *testing.T) {
	d := parse(t, `{"token":"sk-ant-oat01-test-invented"}`)
	around := struct {
		d *Doc
		v Value
		c Value
	}{d, d.Root(), d.Root().Find("token")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, x := range []any{d, d.Root(), d.Root().Find("token"), around, &around} {
			got := fmt.Sprintf(verb, x)
			for _, secret := range []string{"sk-ant", fmt.Sprintf("%x", "sk-ant"), "115 107 45"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s of %T prints the text: %s", verb, x, got)
				}
			}
		}
	}
}

func TestElements(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "", ` [ ] `: "", `["a"]`: `"a"`,
		` [1 , "a,]" ,[2,3],{"b":[4]}, null]`: `1|"a,]"|[2,3]|{"b":[4]}|null`,
		`{"a":1}`:                             "", `"a"`: "", `7`: "",
	} {
		var got []string
		for e := range parse(t, text).Root().Elements() {
			got = append(got, string(e.Raw()))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s has %q", text, got)
		}
	}
	for e := range parse(t, `[1,2]`).Root().Elements() {
		if string(e.Raw()) != "1" {
			t.Error("it went on after a break")
		}
		break
	}
	for range (Value{}).Elements() {
		t.Error("nothing has elements")
	}
}
