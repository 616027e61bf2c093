package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// An attempt file is a header of fixed size and then frames, each appended by
// one write:
//
//	header: JSON of the intent, padding, " " and its CRC in 8 hex digits, "\n"
//	frame:  kind, length (4 bytes, little endian), payload, CRC of all that
//
// What follows the last good frame is a torn tail or preallocated zeros, and is
// not looked at. The header keeps its shape in every later version, so that a
// newer record can be told from a corrupt one.
const (
	headerSize = 1024
	sumSize    = 10 // " ", 8 hex digits, "\n"
	frameHead  = 1 + 4
	frameTail  = 4

	frameSend = 'S' // time of the mark
	frameData = 'D' // a piece of the answer
	frameSeal = 'C' // a piece of the answer, sealed: nonce, text, tag (see Sealed)
	frameEnd  = 'E' // time of the end, and how many bytes there were
)

// keep is how much of one answer is kept (DESIGN §6.8).
const keep = 64 << 10

// reserve is what Begin reserves for an attempt: the header, one answer in
// pieces as small as 36 bytes on average, and marks.
const reserve = headerSize + keep + keep/4

// maxAttempt bounds an attempt file; what would grow it further is only counted.
const maxAttempt = 4 << 20

var (
	// errTorn: Begin did not get so far as to return. Nothing was sent.
	errTorn    = errors.New("attempt was never begun")
	errCorrupt = errors.New("attempt cannot be understood")
)

// send is one request of an attempt and what is kept of its answer.
type send struct {
	at    time.Time // zero: it was never marked
	raw   []byte
	dark  bool      // a piece cannot be unsealed: raw is what came before it
	total int64     // bytes that came; at least those that are kept
	end   time.Time // zero: the end was not seen
}

// header encodes an intent.
func header(in Intent) ([]byte, error) {
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	if len(text) > headerSize-sumSize {
		return nil, fmt.Errorf("intent of %d bytes is too long", len(text))
	}
	b := bytes.Repeat([]byte{' '}, headerSize-sumSize)
	copy(b, text)
	return fmt.Appendf(b, " %08x\n", crc32.ChecksumIEEE(b)), nil
}

// parseHeader is header's counterpart. errTorn: it was never complete, so
// nothing else was done either; errCorrupt: it was, and is damaged.
func parseHeader(path string, b []byte) (Intent, error) {
	if len(b) < headerSize || len(bytes.TrimRight(b, "\x00")) < headerSize {
		return Intent{}, errTorn
	}
	text, sum := b[:headerSize-sumSize], b[headerSize-sumSize:headerSize]
	want, err := strconv.ParseUint(string(sum[1:sumSize-1]), 16, 32)
	if err != nil || uint32(want) != crc32.ChecksumIEEE(text) {
		return Intent{}, errCorrupt
	}
	var in Intent
	ok, err := decode(path, text, &in)
	if err == nil && !ok {
		err = errCorrupt
	}
	return in, err
}

// appendFrame encodes one frame.
func appendFrame(b []byte, kind byte, payload []byte) []byte {
	start := len(b)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// nextFrame splits the first frame off b. ok is false for a torn one.
func nextFrame(b []byte) (kind byte, payload []byte, size int, ok bool) {
	if len(b) < frameHead+frameTail {
		return 0, nil, 0, false
	}
	n := binary.LittleEndian.Uint32(b[1:frameHead])
	if n > keep && (b[0] != frameSeal || n > keep+sealRoom) {
		return 0, nil, 0, false
	}
	body := frameHead + int(n)
	size = body + frameTail
	if len(b) < size || binary.LittleEndian.Uint32(b[body:]) != crc32.ChecksumIEEE(b[:body]) {
		return 0, nil, 0, false
	}
	return b[0], b[frameHead:body], size, true
}

// parseFrames reads frames up to the first that is torn or unknown; good is
// where that begins. open unseals a piece, errDark if nobody can; any other
// error of it is returned.
func parseFrames(b []byte, open func(off int64, sealed []byte) ([]byte, error)) (sends []send, good int, err error) {
	for {
		kind, payload, size, ok := nextFrame(b[good:])
		if ok && kind == frameSeal && len(payload) >= sealRoom {
			text, err := open(int64(headerSize+good), payload)
			switch {
			case err == nil:
				kind, payload = frameData, text
			case errors.Is(err, errDark): // it stands: what is written next goes behind it
				s := current(&sends)
				s.dark = true
				s.total += int64(len(payload) - sealRoom)
				good += size
				continue
			default:
				return nil, 0, err
			}
		}
		if !ok || !applyFrame(&sends, kind, payload) {
			return sends, good, nil
		}
		good += size
	}
}

// applyFrame reports false for a frame that makes no sense.
func applyFrame(sends *[]send, kind byte, payload []byte) bool {
	switch kind {
	case frameSend:
		at, _, ok := parseStop(payload)
		if !ok {
			return false
		}
		*sends = append(*sends, send{at: at})
	case frameData:
		s := current(sends)
		if !s.dark { // no answer has a hole in it
			s.raw = append(s.raw, payload...)
		}
		s.total += int64(len(payload))
	case frameEnd:
		end, total, ok := parseStop(payload)
		if !ok {
			return false
		}
		s := current(sends)
		s.end, s.total = end, total
	default:
		return false
	}
	return true
}

// current is the request that what comes next belongs to.
func current(sends *[]send) *send {
	if len(*sends) == 0 {
		*sends = append(*sends, send{})
	}
	return &(*sends)[len(*sends)-1]
}

// stopSize is a time and a count.
const stopSize = 16

func appendStop(at time.Time, total int64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(at.UnixNano()))
	return binary.LittleEndian.AppendUint64(b, uint64(total))
}

func parseStop(p []byte) (at time.Time, total int64, ok bool) {
	if len(p) != stopSize {
		return time.Time{}, 0, false
	}
	nano := int64(binary.LittleEndian.Uint64(p))
	return time.Unix(0, nano).UTC(), int64(binary.LittleEndian.Uint64(p[8:])), true
}
