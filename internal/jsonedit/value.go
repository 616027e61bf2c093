package jsonedit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"unicode/utf8"
)

// Kind is the type of a value.
type Kind int

// The kinds. Absent is that of the zero Value: nothing stands there.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

func (k Kind) String() string {
	names := [...]string{"absent", "null", "bool", "number", "string", "array", "object"}
	if k < Absent || int(k) >= len(names) {
		return "no kind"
	}
	return names[k]
}

// Value is a value in a Doc: a place in its text. The zero Value is Absent.
// It holds its text behind a pointer, so that fmt does not reach it.
type Value struct {
	doc        *Doc
	start, end int
}

// Root is the value that the whole text is.
func (d *Doc) Root() Value { return Value{d, d.start, d.end} }

// Kind is the type of the value.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Absent
	}
	switch v.doc.text()[v.start] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	}
	return Number
}

// Raw is the value as it is written; not to be changed.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	return v.doc.text()[v.start:v.end:v.end]
}

// Start and End are where Raw lies in the text.
func (v Value) Start() int { return v.start }

// End is the offset after the last byte.
func (v Value) End() int { return v.end }

// Text is what a String means, its escapes resolved; of other kinds "".
func (v Value) Text() string {
	if v.Kind() != String {
		return ""
	}
	return unquote(v.Raw())
}

// Find goes from object to object by member names. Where a name occurs more
// than once the last one counts, as for JSON.parse and encoding/json. It is
// Absent if a name is, or if something on the way is not an object.
func (v Value) Find(path ...string) Value {
	for _, name := range path {
		v = v.member(name).value
	}
	return v
}

// Elements are those of an Array in their order; of other kinds there are none.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		v.each(Array, func(s *scanner) bool { return yield(v.next(s)) })
	}
}

// Format shows kind and place alone.
func (v Value) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "JSON %v at byte %d", v.Kind(), v.start)
}

// member is a name and its value; the zero member is none.
type member struct {
	keyStart, keyEnd int // with the quotes
	value            Value
}

// member is the last member of that name.
func (v Value) member(name string) (found member) {
	for m := range v.members() {
		if v.doc.means(m, name) {
			found = m
		}
	}
	return found
}

// members are those of an Object in their order, duplicates included.
func (v Value) members() iter.Seq[member] {
	return func(yield func(member) bool) {
		v.each(Object, func(s *scanner) bool {
			m := member{keyStart: s.pos}
			s.str()
			m.keyEnd = s.pos
			s.space()
			s.pos++ // the colon
			s.space()
			m.value = v.next(s)
			return yield(m)
		})
	}
}

// each stops at whatever stands between the commas of a value of that kind, until
// read says no. The text was checked by Parse, so the scan cannot fail.
func (v Value) each(kind Kind, read func(*scanner) bool) {
	if v.Kind() != kind {
		return
	}
	s := scanner{text: v.doc.text(), pos: v.start + 1}
	for s.space(); s.pos < v.end-1; s.space() {
		if s.peek() == ',' {
			s.pos++
			s.space()
		}
		if !read(&s) {
			return
		}
	}
}

// next is the value at which s stands.
func (v Value) next(s *scanner) Value {
	start := s.pos
	s.value()
	return Value{v.doc, start, s.pos}
}

// means reports whether the key of m is name, however it is written.
func (d *Doc) means(m member, name string) bool {
	raw := d.text()[m.keyStart+1 : m.keyEnd-1]
	// An escape takes at most six bytes for one; this bounds the work that a
	// huge foreign key can cause.
	if len(raw) > 6*len(name) {
		return false
	}
	if plain(raw) {
		return string(raw) == name
	}
	return unquote(d.text()[m.keyStart:m.keyEnd]) == name
}

// unquote resolves the escapes of a checked string. What is not UTF-8, and half
// a surrogate pair, become U+FFFD, as for every other reader.
func unquote(quoted []byte) (s string) {
	if inner := quoted[1 : len(quoted)-1]; plain(inner) {
		return string(inner) // the first use of encoding/json is dear to a short process
	}
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic("jsonedit: a checked string is none") // without err, which could quote it
	}
	return s
}

// plain: what stands between the quotes is what it means.
func plain(inner []byte) bool { return bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) }

// Quote writes a string as JSON. Unlike json.Marshal it does not escape <, >
// and & for HTML. What is not UTF-8 becomes U+FFFD.
func Quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("jsonedit: a string cannot be written") // encoding/json has no such error
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
