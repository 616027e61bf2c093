package jsonedit

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// A node is a JSON value together with every byte of its spelling: the model
// that Edit is compared with. It is generated, never parsed.
type node struct {
	text    string // of a scalar or array
	object  bool
	hollow  string // white space in an empty object
	members []*nodeMember
}

type nodeMember struct {
	lead, key, colon, tail string // as written, around the value
	name                   string // as meant
	value                  *node
}

func (n *node) String() string {
	if !n.object {
		return n.text
	}
	var b strings.Builder
	b.WriteString("{")
	for i, m := range n.members {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprint(&b, m.lead, m.key, m.colon, m.value, m.tail)
	}
	return b.String() + n.hollow + "}"
}

// member is the last of that name.
func (n *node) member(name string) *node {
	for _, m := range slices.Backward(n.members) {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// set is the specification of Edit, for one change.
func (n *node) set(path []string, text string) {
	for _, name := range path[:len(path)-1] {
		n = n.member(name)
	}
	name := path[len(path)-1]
	if old := n.member(name); old != nil {
		*old = node{text: text}
		return
	}
	added := &nodeMember{key: string(Quote(name)), colon: ":", name: name, value: &node{text: text}}
	if len(n.members) > 0 {
		last := n.members[len(n.members)-1]
		added.lead, added.colon = last.lead, last.colon
		added.tail, last.tail = last.tail, ""
	}
	n.members = append(n.members, added)
}

// objects lists the path of every object that Find can reach.
func (n *node) objects(at []string) [][]string {
	if !n.object {
		return nil
	}
	all := [][]string{at}
	for _, m := range n.members {
		if m.value == n.member(m.name) {
			all = append(all, m.value.objects(append(slices.Clone(at), m.name))...)
		}
	}
	return all
}

var (
	drawSpace  = rapid.SampledFrom([]string{"", "", " ", "\n", "\r\n\t", "    "})
	drawName   = rapid.SampledFrom([]string{"", "a", "b", "accessToken", "é", `q"\`, "😀", "x/y"})
	drawScalar = rapid.SampledFrom([]string{
		`0`, `-1.50`, `12345678901234567890`, `1e400`, `null`, `true`, `false`, `""`, `"\u00e9é\ud83d\ude00\/\n"`, `"}]\"{,"`,
		`[]`, `[ ]`, `[1, [2, {"a" : {}}], "]" ]`,
	})
)

func drawNode(t *rapid.T, depth int) *node {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "scalar") == 0 {
		return &node{text: drawScalar.Draw(t, "text")}
	}
	n := &node{object: true}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		name := drawName.Draw(t, "name")
		n.members = append(n.members, &nodeMember{
			lead: drawSpace.Draw(t, "lead"), key: drawKey(t, name), name: name,
			colon: drawSpace.Draw(t, "before") + ":" + drawSpace.Draw(t, "after"),
			value: drawNode(t, depth-1), tail: drawSpace.Draw(t, "tail"),
		})
	}
	if len(n.members) == 0 {
		n.hollow = drawSpace.Draw(t, "hollow")
	}
	return n
}

// drawKey spells a name plainly or with every character escaped.
func drawKey(t *rapid.T, name string) string {
	if rapid.Bool().Draw(t, "plain") {
		return string(Quote(name))
	}
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(name)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return `"` + b.String() + `"`
}

// Random documents and changes: the result is, byte for byte, the model's, and
// means to encoding/json what the changes say. F1.
func TestEditModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := drawNode(t, 4)
		if !root.object {
			root = &node{object: true}
		}
		before, after := rapid.SampledFrom([]string{"", byteOrderMark, "\n "}).Draw(t, "before"), drawSpace.Draw(t, "after")
		text := before + root.String() + after
		changes := drawChanges(t, root)

		d, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := d.Edit(changes...)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}

		meant := reader(t, text)
		for _, c := range changes {
			root.set(c.Path, string(c.JSON))
			setTree(meant, c.Path, reader(t, string(c.JSON)))
		}
		if want := before + root.String() + after; string(got) != want {
			t.Fatalf("from %q\ngot  %q\nwant %q", text, got, want)
		}
		if !reflect.DeepEqual(reader(t, string(got)), meant) {
			t.Fatalf("from %q\ngot  %q, which means something else", text, got)
		}
	})
}

// drawChanges draws changes that do not overlap.
func drawChanges(t *rapid.T, root *node) (changes []Change) {
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		parent := rapid.SampledFrom(root.objects(nil)).Draw(t, "parent")
		path := append(slices.Clone(parent), drawName.Draw(t, "member"))
		if !slices.ContainsFunc(changes, func(c Change) bool { return within(c.Path, path) || within(path, c.Path) }) {
			changes = append(changes, Change{path, []byte(drawScalar.Draw(t, "value"))})
		}
	}
	return changes
}

// within reports whether path is outer or lies in it.
func within(path, outer []string) bool {
	return len(path) >= len(outer) && slices.Equal(path[:len(outer)], outer)
}

// reader is tree for a rapid.T, which is no testing.TB.
func reader(t *rapid.T, text string) any {
	v, err := decode([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}
