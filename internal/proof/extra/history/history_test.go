package history

import (
	"testing"
	"time"

	"github.com/evercred/evercred/internal/proof/storm"
)

const ms = int64(time.Millisecond)

// stored is a login of some generations, one each second, each stored 100 to
// 200 ms after the full second.
func stored(generations int, reads ...storm.Read) storm.Epoch {
	e := storm.Epoch{Probe: 100 * time.Millisecond, Reads: reads}
	for g := range generations {
		at := 1000 * ms * int64(g)
		e.Writes = append(e.Writes, storm.Write{Generation: g, Call: at + 100*ms, Return: at + 200*ms})
	}
	return e
}

func read(client int, command bool, call, ret int64, generation int) storm.Read {
	return storm.Read{Client: client, Command: command, Call: call * ms, Return: ret * ms, Awake: call * ms, Generation: generation}
}

func TestHistories(t *testing.T) {
	tests := []struct {
		name  string
		reads []storm.Read
		good  bool
	}{
		{"in order", []storm.Read{read(1, true, 300, 400, 0), read(2, true, 1300, 1400, 1)}, true},
		{"beside a write, old and new", []storm.Read{read(1, true, 1110, 1190, 0), read(2, true, 1110, 1190, 1)}, true},
		{"new, and then old beside one write", []storm.Read{read(1, true, 1110, 1120, 1), read(2, true, 1130, 1190, 0)}, false},
		{"a command reads what is gone", []storm.Read{read(1, true, 1210, 1300, 0)}, false},
		{"long gone", []storm.Read{read(1, true, 20210, 20300, 0)}, false},
		{"before it was there", []storm.Read{read(1, true, 300, 400, 20)}, false},
		{"many good ones around a bad one", []storm.Read{read(1, true, 300, 9000, 0), read(2, true, 1210, 1300, 0), read(3, true, 300, 400, 0)}, false},
		{"a client reads from memory", []storm.Read{read(1, false, 700, 710, 0), read(1, false, 1210, 1220, 0)}, true},
		{"and its first call does not", []storm.Read{read(1, false, 1210, 1220, 0)}, false},
		{"not for ever", []storm.Read{read(1, false, 700, 710, 0), read(1, false, 1310, 1320, 0), read(1, false, 1920, 1930, 0)}, false},
		{"a client goes back", []storm.Read{read(1, false, 1110, 1190, 1), read(1, false, 1191, 1195, 0)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var wrong []string
			if wrong = examine(stored(25, test.reads...)); (len(wrong) == 0) != test.good {
				t.Errorf("found %q", wrong)
			}
		})
	}
}
