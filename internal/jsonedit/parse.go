// Package jsonedit reads and changes single members of a JSON text and leaves
// every other byte of it as it was: unknown members, their order, spacing,
// number text, duplicate keys, escapes, a byte order mark.
//
// It builds no tree. A text is checked once, by a scan that allocates next to
// nothing, and members are found by scanning again; so a login document with a
// megabyte of other programs' tokens costs no copies of them.
//
// Its errors name an offset and never repeat a byte of the text, and its values
// do not print: the texts hold secrets.
package jsonedit

import (
	"bytes"
	"fmt"
)

// MaxDepth is how deep arrays and objects may nest: the limit of encoding/json,
// so that whoever reads a document after us can read it too.
const MaxDepth = 10_000

// byteOrderMark may stand before the value. RFC 8259 §8.1 lets a reader ignore
// it, and editors on Windows write it.
const byteOrderMark = "\ufeff"

// SyntaxError says where a text stops being one JSON value.
type SyntaxError struct {
	// Offset counts bytes from the start of the text, a byte order mark included.
	Offset int
	// What is wrong there; it holds nothing of the text.
	What string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// Doc is a JSON text that was checked. It is immutable, and safe for concurrent
// use as long as nobody changes the text.
type Doc struct {
	// fmt follows one pointer to a struct or slice where a verb does not suit
	// it, even in a struct that embeds a Value. It does not follow two.
	hidden     *[]byte
	start, end int // the root value
}

func (d *Doc) text() []byte { return *d.hidden }

// Parse checks that text is exactly one JSON value in UTF-8, perhaps after a
// byte order mark and between white space. Bytes that are not UTF-8 are
// tolerated inside strings, as encoding/json does, and kept. The only error is
// *SyntaxError. text is kept, not copied.
func Parse(text []byte) (*Doc, error) {
	if isUTF16(text) {
		return nil, &SyntaxError{0, "UTF-16 where UTF-8 is needed"}
	}
	s := scanner{text: text}
	if bytes.HasPrefix(text, []byte(byteOrderMark)) {
		s.pos = len(byteOrderMark)
	}
	s.space()
	if s.pos == len(text) {
		return nil, &SyntaxError{s.pos, "no value: the text is empty"}
	}
	d := &Doc{hidden: &text, start: s.pos}
	if err := s.value(); err != nil {
		return nil, err
	}
	d.end = s.pos
	s.space()
	if s.pos < len(text) {
		return nil, s.unexpected("more bytes after the end of the value")
	}
	return d, nil
}

// isUTF16 tells the usual mistake of an editor apart from mere rubbish: a UTF-16
// byte order mark, or one NUL among the first two bytes.
func isUTF16(text []byte) bool {
	if len(text) < 2 {
		return false
	}
	a, b := text[0], text[1]
	return a == 0xff && b == 0xfe || a == 0xfe && b == 0xff || (a == 0) != (b == 0)
}

// Format shows the size alone.
func (d *Doc) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "JSON text of %d bytes", len(d.text()))
}

// scanner walks over JSON text (RFC 8259 §2) without recursion, so that no
// nesting can exhaust the stack.
type scanner struct {
	text []byte
	pos  int
	open []byte // the closing bracket of every array and object that is open
}

// value passes one value and everything in it; pos stands on its first byte.
func (s *scanner) value() error {
	s.open = s.open[:0]
	for {
		if err := s.descend(); err != nil {
			return err
		}
		more, err := s.ascend()
		if err != nil || !more {
			return err
		}
	}
}

// descend passes a scalar; of an array or object it passes what comes before
// its first scalar, and stops at once before the end of an empty one.
func (s *scanner) descend() error {
	for {
		s.space()
		switch c := s.peek(); {
		case c == '{' || c == '[':
			if len(s.open) == MaxDepth {
				return &SyntaxError{s.pos, fmt.Sprintf("nested deeper than %d", MaxDepth)}
			}
			last := c + 2 // in ASCII both closing brackets stand two after their opening ones
			s.open = append(s.open, last)
			s.pos++
			s.space()
			if s.peek() == last {
				return nil
			}
			if c == '{' {
				if err := s.key(); err != nil {
					return err
				}
			}
		case c == '"':
			return s.str()
		case c == '-' || isDigit(c):
			return s.number()
		case c == 't':
			return s.literal("true")
		case c == 'f':
			return s.literal("false")
		case c == 'n':
			return s.literal("null")
		default:
			return s.unexpected("not a JSON value")
		}
	}
}

// ascend passes what follows a value: the ends of arrays and objects, and then
// perhaps a comma and the next key, before more values.
func (s *scanner) ascend() (more bool, err error) {
	for len(s.open) > 0 {
		last := s.open[len(s.open)-1]
		s.space()
		switch s.peek() {
		case last:
			s.open = s.open[:len(s.open)-1]
			s.pos++
		case ',':
			s.pos++
			if last == '}' {
				s.space()
				return true, s.key()
			}
			return true, nil
		default:
			return false, s.unexpected("neither a comma nor a closing bracket")
		}
	}
	return false, nil
}

// key passes the name of a member and its colon.
func (s *scanner) key() error {
	if s.peek() != '"' {
		return s.unexpected("not the name of a member")
	}
	if err := s.str(); err != nil {
		return err
	}
	s.space()
	if s.peek() != ':' {
		return s.unexpected("no colon")
	}
	s.pos++
	return nil
}

func (s *scanner) str() error {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.unexpected("control character in a string")
		}
	}
	return s.unexpected("")
}

// escape goes to the last byte of an escape sequence.
func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.pos++
			if !isHex(s.peek()) {
				return s.unexpected("wrong escape in a string")
			}
		}
		return nil
	}
	return s.unexpected("wrong escape in a string")
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++ // a leading zero stands alone
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

// digits passes at least one.
func (s *scanner) digits() error {
	if !isDigit(s.peek()) {
		return s.unexpected("not a digit")
	}
	for isDigit(s.peek()) {
		s.pos++
	}
	return nil
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.peek() != word[i] {
			return s.unexpected("not a JSON value")
		}
		s.pos++
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.text) && isSpace(s.text[s.pos]) {
		s.pos++
	}
}

// peek is the next byte; 0 at the end, which no grammar rule takes.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// unexpected explains the byte at pos. A missing byte (a torn write) and a NUL
// (blocks that a crash left unwritten) say more than the rule that met them.
func (s *scanner) unexpected(what string) error {
	switch {
	case s.pos >= len(s.text):
		what = "the text ends in the middle of a value"
	case s.text[s.pos] == 0:
		what = "a NUL byte"
	}
	return &SyntaxError{s.pos, what}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
