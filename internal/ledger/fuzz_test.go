package ledger

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// FuzzHeader: a header is torn, corrupt, newer, or understood.
func FuzzHeader(f *testing.F) {
	head, err := header(Intent{Version: 1, ID: "20260101T000000.000000000Z-00000000", Refresh: "aaaaaaaaaaaa"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Add(head[:headerSize-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseHeader("f", b)
		if err == nil && in.Version != FormatVersion || len(b) < headerSize && err != errTorn {
			t.Fatal(in, err)
		}
	})
}

// FuzzFrames: script says which good frames there are (kind, length, payload,
// and so on), tail is what a crash left behind them. Whatever they hold, parsing
// ends, and what it understands are the bytes of good frames, in order, up to
// the first that is not understood.
func FuzzFrames(f *testing.F) {
	end := string(appendStop(time.Unix(2, 0), 3))
	f.Add([]byte("S\x10"+end+"D\x03abcD\x01dE\x10"+end), []byte{})
	f.Add([]byte("D\x03abcX\x01dD\x01e"), make([]byte, 40))
	f.Add([]byte("E\x02xxS\x00"), appendFrame(nil, frameData, []byte("abc"))[:9])
	f.Add([]byte("S\x10"+end+"C\x1eaaaaaaaaaaaabbbbbbbbbbbbbbbbcdC\x03abc"), []byte{})
	f.Add([]byte{}, []byte("D\x00\x00\x00\x80aaaaaaaaa"))
	f.Fuzz(func(t *testing.T, script, tail []byte) {
		var file []byte
		for len(script) > 1 {
			n := min(int(script[1]), len(script)-2)
			file = appendFrame(file, script[0], script[2:2+n])
			script = script[2+n:]
		}
		file = append(file, tail...)

		sends, good, err := parseFrames(file, func(_ int64, p []byte) ([]byte, error) { return p[sealRoom:], nil })
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		for rest := file[:good]; len(rest) > 0; {
			kind, payload, size, ok := nextFrame(rest)
			if !ok || !bytes.Equal(rest[:size], appendFrame(nil, kind, payload)) {
				t.Fatal("what was understood is no frame")
			}
			switch kind {
			case frameData:
				raw = append(raw, payload...)
			case frameSeal:
				raw = append(raw, payload[sealRoom:]...)
			}
			rest = rest[size:]
		}
		if kind, payload, _, ok := nextFrame(file[good:]); ok && (kind == frameData || kind == frameSeal && len(payload) >= sealRoom || len(payload) == stopSize && (kind == frameSend || kind == frameEnd)) {
			t.Fatal("stopped before a good frame")
		}
		for _, s := range sends {
			if !bytes.HasPrefix(raw, s.raw) {
				t.Fatal("invented bytes")
			}
			raw = raw[len(s.raw):]
		}
		if len(raw) > 0 {
			t.Fatalf("lost %q", raw)
		}
	})
}

// FuzzMemory: a record is understood, or refused as newer, or corrupt; what is
// understood survives writing.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"version":1,"print":"p","spent":["a"],"dead":{"at":"2026-01-01T00:00:00Z","reason":"refused"}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"spent":7}`))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Memory
		ok, err := decode("f", b, &m)
		if err != nil && (ok || !errors.Is(err, ErrNewer)) {
			t.Fatal(ok, err)
		}
		if !ok {
			return
		}
		text, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := decode("f", text, &again); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if twice, err := encode(again); err != nil || !bytes.Equal(text, twice) {
			t.Fatalf("%s\n%s", text, twice)
		}
	})
}
