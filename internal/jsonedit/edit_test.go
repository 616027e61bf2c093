package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// set is a Change; path elements are divided by /.
func set(path, json string) Change { return Change{strings.Split(path, "/"), []byte(json)} }

func TestEdit(t *testing.T) { // F1
	tests := []struct {
		name, text string
		changes    []Change
		want       string
	}{
		{"replace", `{"a":1,"b":2}`, []Change{set("a", `"x"`)}, `{"a":"x","b":2}`},
		{"nothing", ` {"a": 1.50} `, nil, ` {"a": 1.50} `},
		{"nested, odd spacing", "{ \"a\"\t:\r\n{\"b\" :1 ,\"c\":2}\n}\n\n", []Change{set("a/b", `9`)}, "{ \"a\"\t:\r\n{\"b\" :9 ,\"c\":2}\n}\n\n"},
		{"mark and number text", byteOrderMark + `{"n":1.50,"a":1,"m":12345678901234567890}`, []Change{set("a", `2`)}, byteOrderMark + `{"n":1.50,"a":2,"m":12345678901234567890}`},
		{"duplicates: the last", `{"a":1,"a":2,"b":3}`, []Change{set("a", `9`)}, `{"a":1,"a":9,"b":3}`},
		{"duplicate parents: the last", `{"s":{"a":1},"s":{"b":2}}`, []Change{set("s/a", `9`)}, `{"s":{"a":1},"s":{"b":2,"a":9}}`},
		{"an escaped key keeps its escape", `{"\u0061":1,"é\u00e9":"\u00e9"}`, []Change{set("a", `2`)}, `{"\u0061":2,"é\u00e9":"\u00e9"}`},
		{"several, in any order", `{"a":{"x":1,"y":2},"b":[3],"c":4}`, []Change{set("c", `40`), set("a/y", `20`), set("b", `[30]`)}, `{"a":{"x":1,"y":20},"b":[30],"c":40}`},
		{"insert, compact", `{"a":1}`, []Change{set("b", `2`)}, `{"a":1,"b":2}`},
		{"insert, with spaces", `{"a": 1, "b": 2}`, []Change{set("c", `3`)}, `{"a": 1, "b": 2, "c": 3}`},
		{"insert, indented", "{\n  \"s\": {\n    \"a\": 1\n  }\n}\n", []Change{set("s/b", `2`)}, "{\n  \"s\": {\n    \"a\": 1,\n    \"b\": 2\n  }\n}\n"},
		{"insert, tabs and CRLF", "{\r\n\t\"a\" : 1\r\n}", []Change{set("b", `2`)}, "{\r\n\t\"a\" : 1,\r\n\t\"b\" : 2\r\n}"},
		{"insert two", "{\n \"a\": 1\n}", []Change{set("b", `2`), set("c", `3`)}, "{\n \"a\": 1,\n \"b\": 2,\n \"c\": 3\n}"},
		{"insert into an empty object", `{ }`, []Change{set("a", `1`), set("b", `2`)}, `{"a":1,"b":2 }`},
		{"insert into two empty objects", `{"x":{},"y":{}}`, []Change{set("x/a", `1`), set("y/a", `2`)}, `{"x":{"a":1},"y":{"a":2}}`},
		{"insert beside a changed last member", `{"a":1}`, []Change{set("b", `2`), set("a", `9`)}, `{"a":9,"b":2}`},
		{"insert in and after the last member", `{"a":{}}`, []Change{set("b", `2`), set("a/x", `1`)}, `{"a":{"x":1},"b":2}`},
		{"insert a name that needs quoting", `{}`, []Change{set(`a"<`, `1`)}, `{"a\"<":1}`},
		{"null is a member", `{"a":null}`, []Change{set("a", `1`)}, `{"a":1}`},
		{"spaces around the new value stay out", `{"a":1}`, []Change{set("a", " 2\n")}, `{"a":2}`},
		{"not UTF-8 survives", "{\"x\":\"\xff\xc3\",\"a\":1}", []Change{set("a", `2`)}, "{\"x\":\"\xff\xc3\",\"a\":2}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			original := []byte(test.text)
			got, err := parse(t, test.text).Edit(test.changes...)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if !bytes.Equal(original, []byte(test.text)) {
				t.Error("the original text was changed")
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	const text = `{"a":{"b":1},"n":null,"s":"x","l":[1],"dup":{},"dup":0}`
	tests := []struct {
		name    string
		changes []Change
		want    error
	}{
		{"no path", []Change{{nil, []byte(`1`)}}, ErrPath},
		{"a path that is not UTF-8", []Change{set("a/\xff", `1`)}, ErrPath},
		{"no parent", []Change{set("none/b", `1`)}, ErrNoObject},
		{"null as parent", []Change{set("n/b", `1`)}, ErrNoObject},
		{"string as parent", []Change{set("s/b", `1`)}, ErrNoObject},
		{"array as parent", []Change{set("l/b", `1`)}, ErrNoObject},
		{"the last duplicate is no object", []Change{set("dup/b", `1`)}, ErrNoObject},
		{"the same twice", []Change{set("a/b", `1`), set("a/b", `2`)}, ErrOverlap},
		{"the same new one twice", []Change{set("a/c", `1`), set("a/c", `2`)}, ErrOverlap},
		{"one in the other", []Change{set("a", `{}`), set("a/b", `2`)}, ErrOverlap},
		{"a new one in the other", []Change{set("a/c", `2`), set("a", `{}`)}, ErrOverlap},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(t, text).Edit(test.changes...)
			if !errors.Is(err, test.want) || got != nil {
				t.Errorf("got %q, %v, want %v", got, err, test.want)
			}
		})
	}
	t.Run("not JSON", func(t *testing.T) {
		_, err := parse(t, text).Edit(set("a", `"secret" "secret"`))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("got %v", err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the value: %v", err)
		}
	})
}

// FuzzEdit: the edit means what it should to encoding/json, and only the value
// (or the place of a new member) differs.
func FuzzEdit(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), "a", "b", `"new"`)
		f.Add([]byte(seed), "a", "new", `[1.50]`)
	}
	f.Fuzz(func(t *testing.T, text []byte, outer, inner, value string) {
		d, err := Parse(text)
		if err != nil || len(value) > 100 {
			return
		}
		for _, path := range [][]string{{outer}, {outer, inner}} {
			checkEdit(t, d, Change{path, []byte(value)})
		}
	})
}

func checkEdit(t *testing.T, d *Doc, c Change) {
	old := d.Root().Find(c.Path...)
	got, err := d.Edit(c)
	if err != nil {
		return
	}
	want := tree(t, d.text())
	if there := hasTree(want, c.Path); there != (old.Kind() != Absent) { // else it would get a twin
		t.Fatalf("%q: %q is there: %v", d.text(), c.Path, there)
	}
	setTree(want, c.Path, tree(t, c.JSON))
	if tree := tree(t, got); !reflect.DeepEqual(tree, want) {
		t.Fatalf("%q, %q set to %q: got %q", d.text(), c.Path, c.JSON, got)
	}
	// The bytes before and after the place, counted from both ends.
	cut := old.End() - old.Start()
	if head, tail := commonEnds(d.text(), got); head+tail < len(d.text())-cut {
		t.Fatalf("%q, %q set to %q: got %q: more changed than the value", d.text(), c.Path, c.JSON, got)
	}
}

// commonEnds measures the longest common prefix, and the longest common suffix of the rest.
func commonEnds(a, b []byte) (head, tail int) {
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return head, tail
}

// decode is what encoding/json, the independent reader, understands.
func decode(text []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte(byteOrderMark))))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

func tree(t *testing.T, text []byte) any {
	t.Helper()
	v, err := decode(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// hasTree reports whether a tree has a member.
func hasTree(root any, path []string) bool {
	for _, name := range path {
		members, _ := root.(map[string]any) // a nil map has no member
		next, ok := members[name]
		if !ok {
			return false
		}
		root = next
	}
	return true
}

// setTree sets a member of a tree in place.
func setTree(root any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		root = root.(map[string]any)[name]
	}
	root.(map[string]any)[path[len(path)-1]] = value
}
