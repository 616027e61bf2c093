package grant

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// members are the top-level members of a JSON object, as far as they came
// complete. Only exact names count, and of duplicates the last.
type members struct {
	values   map[string]json.RawMessage
	object   bool // the text begins as an object
	closed   bool // and its closing brace is there
	cut      bool // the text ends before that brace, and is sound so far
	trailing bool // something follows the brace
}

// scan reads body as far as it can.
func scan(body []byte) members {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	m := members{values: map[string]json.RawMessage{}}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, _ := dec.Token(); t != json.Delim('{') {
		return m
	}
	m.object = true
	if err := m.fill(dec, len(body)); err != nil {
		m.cut = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		return m
	}
	m.closed = true
	m.trailing = len(bytes.TrimSpace(body[dec.InputOffset():])) > 0
	return m
}

// fill reads the members and the closing brace.
func (m *members) fill(dec *json.Decoder, size int) error {
	for {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok { // the closing brace
			return nil
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		// A number has no end of its own: 288 may be the beginning of 28800.
		if dec.InputOffset() == int64(size) && value[len(value)-1] >= '0' && value[len(value)-1] <= '9' {
			return io.ErrUnexpectedEOF
		}
		m.values[name] = value
	}
}

// has reports whether a member is there and not null.
func (m members) has(name string) bool {
	v, ok := m.values[name]
	return ok && string(v) != "null"
}

// text is a member's value if it is a string.
func (m members) text(name string) (string, bool) {
	v := m.values[name]
	if len(v) == 0 || v[0] != '"' {
		return "", false
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return "", false
	}
	return s, true
}

// number is a member's value if it is a number that a float64 can hold.
func (m members) number(name string) (float64, bool) {
	v := m.values[name]
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil
}
