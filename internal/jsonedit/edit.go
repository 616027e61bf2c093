package jsonedit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Errors of Edit, beside *SyntaxError.
var (
	// ErrNoObject: something on the way to a member is absent or no object. It is
	// never created.
	ErrNoObject = errors.New("there is no object to hold the member")
	// ErrOverlap: two changes concern one member, or one lies in the other.
	ErrOverlap = errors.New("two changes overlap")
	// ErrPath: a path is empty or not UTF-8.
	ErrPath = errors.New("not a path")
)

// Change sets one member.
type Change struct {
	// Path names the member, from the root. All but the last element must be
	// there, and objects.
	Path []string
	// JSON is the new value.
	JSON []byte
}

// splice replaces the bytes from start to end.
type splice struct {
	start, end int
	text       []byte
}

// Edit returns a new text with the changes made, all at once, and every other
// byte as it was. A member that exists gets the value alone replaced; of
// duplicates the last, which is the one that counts. A member that does not
// exist comes after the last one of its object, spaced like that one.
//
// With an error (*SyntaxError for a value that is not JSON, else one of this
// package's) nothing is returned. Errors name members, never values.
func (d *Doc) Edit(changes ...Change) ([]byte, error) {
	splices, err := d.splices(changes)
	if err != nil {
		return nil, err
	}
	return d.apply(splices)
}

func (d *Doc) splices(changes []Change) ([]splice, error) {
	var all []splice
	begun := map[int]bool{} // empty objects, by place, that get their first member here
	for i, c := range changes {
		for _, other := range changes[:i] {
			if slices.Equal(c.Path, other.Path) {
				return nil, fmt.Errorf("%w: %q", ErrOverlap, c.Path)
			}
		}
		s, err := d.splice(c, begun)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	// Stable: members inserted at one place keep the order of the changes.
	slices.SortStableFunc(all, func(a, b splice) int { return a.start - b.start })
	return all, nil
}

func (d *Doc) splice(c Change, begun map[int]bool) (splice, error) {
	if len(c.Path) == 0 || slices.ContainsFunc(c.Path, notUTF8) {
		return splice{}, fmt.Errorf("%w: %q", ErrPath, c.Path)
	}
	value, err := Parse(c.JSON)
	if err != nil {
		return splice{}, fmt.Errorf("the new value of %q: %w", c.Path, err)
	}
	parent := d.Root().Find(c.Path[:len(c.Path)-1]...)
	if parent.Kind() != Object {
		return splice{}, fmt.Errorf("%w: %q", ErrNoObject, c.Path)
	}
	name, json := c.Path[len(c.Path)-1], value.Root().Raw()
	if old := parent.member(name).value; old.Kind() != Absent {
		return splice{old.start, old.end, json}, nil
	}
	return d.insertion(parent, Quote(name), json, begun), nil
}

// insertion adds a member at the end of an object.
func (d *Doc) insertion(parent Value, key, json []byte, begun map[int]bool) splice {
	var last member
	for m := range parent.members() {
		last = m
	}
	if last.value.Kind() == Absent {
		return d.beginning(parent, key, json, begun)
	}
	colon := d.text()[last.keyEnd:last.value.start]
	at := last.value.end
	return splice{at, at, slices.Concat([]byte(","), d.lead(last.keyStart), key, colon, json)}
}

// beginning adds a member to an empty object, which shows no style: the shortest.
func (d *Doc) beginning(parent Value, key, json []byte, begun map[int]bool) splice {
	at, comma := parent.start+1, []byte(nil)
	if begun[parent.start] {
		comma = []byte(",")
	}
	begun[parent.start] = true
	return splice{at, at, slices.Concat(comma, key, []byte(":"), json)}
}

// lead is the white space before pos: the line break and indentation of a key.
func (d *Doc) lead(pos int) []byte {
	start := pos
	for start > 0 && isSpace(d.text()[start-1]) {
		start--
	}
	return d.text()[start:pos]
}

// apply makes all splices in one pass; they are sorted.
func (d *Doc) apply(splices []splice) ([]byte, error) {
	size := len(d.text())
	for _, s := range splices {
		size += len(s.text)
	}
	var out bytes.Buffer
	out.Grow(size)
	done := 0
	for _, s := range splices {
		if s.start < done {
			return nil, ErrOverlap
		}
		out.Write(d.text()[done:s.start])
		out.Write(s.text)
		done = s.end
	}
	out.Write(d.text()[done:])
	return out.Bytes(), nil
}

func notUTF8(s string) bool { return !utf8.ValidString(s) }
