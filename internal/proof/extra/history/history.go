// Package history is T10 of the proof: what the processes of the storm (T8)
// were given and what was stored meanwhile, through a checker of histories.
//
// The store of one login is a register of generations. A generation is written
// once, by whoever saves it: after the endpoint committed it and before its
// refresh token is sent in its turn. A command looks at the store itself, so
// what it prints must have been in the register at some moment between its
// start and its end: that is linearizability, with nothing taken off. A library
// client may answer from memory what its last probe saw; its reads may lie that
// much earlier, by its own clock, and not more. And no process ever goes back.
package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/evercred/evercred/internal/proof/storm"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T10.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T10", Name: "history", Unit: "operations",
		About:  "Histories of the storm through porcupine: the store behaves as one register, and no call for a token sees it out of order.",
		Needs:  []suite.Need{suite.Linux},
		Sizes:  suite.Sizes{Smoke: 1000, CI: 6000, Full: 40000},
		Factor: 10,
		Run:    run,
		Controls: []suite.Control{
			{Rule: "a Source looks whether the store changed", Only: storm.Window.Name, Edits: []suite.Edit{{
				File: "source.go",
				Old:  "if changed, err := s.changed(ctx, c.doc); err != nil || !changed {",
				New:  "if changed, err := s.changed(ctx, c.doc); err != nil || changed || !changed {",
			}}},
			{Rule: "a save is made before it is claimed", Only: storm.Window.Name, Edits: []suite.Edit{{
				File: "refresh.go",
				Old:  "if doc, err = f.s.store.Save(ctx, f.seen.doc, data); err == nil {",
				New:  "if doc = f.seen.doc; len(data) > 0 {",
			}}},
		},
	}
}

// batch is how many rotations a storm makes before its history is checked.
const batch = 200

func run(r *suite.Run) error {
	weathers := slices.DeleteFunc([]storm.Weather{storm.Window, storm.Strict}, func(w storm.Weather) bool { return !r.Wanted(w.Name) })
	if len(weathers) == 0 {
		return fmt.Errorf("there is no case %q", r.Only)
	}
	var t tally
	for i := 0; t.operations < r.N && r.Context().Err() == nil; i++ {
		w := weathers[i%len(weathers)]
		w.Unjudged = true // that is T8's
		h, err := storm.Storm(r, w, min(batch, max(20, (r.N-t.operations)/100)))
		if err != nil {
			return err
		}
		for _, e := range h {
			t.add(r, w, e)
			r.Progress(t.operations, w.Name)
		}
	}
	r.Figure("histories", t.histories)
	r.Figure("not linearizable", t.wrong)
	if r.Context().Err() == nil {
		r.Gate(t.operations >= r.N && t.wrong == 0, "%d operations, %d histories not linearizable", t.operations, t.wrong)
	}
	return nil
}

// tally is what came of all histories.
type tally struct{ operations, histories, wrong int }

func (t *tally) add(r *suite.Run, w storm.Weather, e storm.Epoch) {
	t.histories++
	t.operations += len(e.Reads) + len(e.Writes)
	wrong, outcome := examine(e), "linearizable"
	if len(wrong) > 0 {
		t.wrong++
		outcome = "not linearizable"
	}
	for _, what := range wrong {
		r.Violation(w.Name, "%s: %s", e.Name, what)
	}
	r.SawMany("reads and writes of a storm ("+w.Name+")", outcome, len(e.Reads)+len(e.Writes))
}

// examine says what is wrong with a history.
func examine(e storm.Epoch) (wrong []string) {
	wrong = back(e)
	for _, part := range split(operations(e)) {
		switch porcupine.CheckOperationsTimeout(register, part, time.Minute) {
		case porcupine.Illegal:
			wrong = append(wrong, "not linearizable: "+culprit(part))
		case porcupine.Unknown:
			wrong = append(wrong, "the checker did not come to an end")
		}
	}
	return wrong
}

// operation is the input of one operation on the register.
type operation struct {
	write      bool
	generation int
	who        string
}

// unknown is the state of the register before the first write of a part.
const unknown = -1

// register is the model: a read must find the generation that was written last.
var register = porcupine.Model{
	Init: func() any { return unknown },
	Step: func(state, input, _ any) (bool, any) {
		if op := input.(operation); op.write {
			return true, op.generation
		} else {
			return state == op.generation, state
		}
	},
}

// operations are the history as porcupine wants it.
func operations(e storm.Epoch) []porcupine.Operation {
	var ops []porcupine.Operation
	for _, w := range e.Writes {
		// The store has one writer at a time, so all writes are one client's.
		ops = append(ops, porcupine.Operation{Input: operation{true, w.Generation, "the store"}, Call: w.Call, Return: w.Return})
	}
	for client, reads := range byClient(e) {
		for i, rd := range reads {
			op := operation{generation: rd.Generation, who: fmt.Sprint("client ", client)}
			ops = append(ops, porcupine.Operation{ClientId: client + 1, Input: op, Call: since(e, reads[:i], rd), Return: rd.Return})
		}
	}
	return ops
}

// probing is how long a probe may take on a loaded machine. A Source does not
// wait for it, and answers from memory meanwhile.
const probing = 500 * time.Millisecond

// since is the earliest moment at which what a read returned may have been
// looked at. A command, and the first call of a client, look themselves. Later a
// client answers from memory: whatever an earlier call saw that was at most
// Probe old, or looked for then. The earlier call is the last that lies so far
// back, on the client's own clock, that its probe is over.
func since(e storm.Epoch, earlier []storm.Read, rd storm.Read) int64 {
	if rd.Command || len(earlier) == 0 {
		return rd.Call
	}
	for i := len(earlier) - 1; i > 0; i-- {
		if earlier[i].Awake <= rd.Awake-int64(probing) {
			return earlier[i].Call - int64(e.Probe)
		}
	}
	return earlier[0].Call
}

func byClient(e storm.Epoch) map[int][]storm.Read {
	all := map[int][]storm.Read{}
	for _, rd := range e.Reads {
		all[rd.Client] = append(all[rd.Client], rd)
	}
	for _, reads := range all {
		slices.SortFunc(reads, func(a, b storm.Read) int { return int(a.Call - b.Call) })
	}
	return all
}

// back are the processes that were given an older generation after a newer one.
func back(e storm.Epoch) (bad []string) {
	for client, reads := range byClient(e) {
		for i := range reads[1:] {
			if a, b := reads[i], reads[i+1]; b.Generation < a.Generation {
				bad = append(bad, fmt.Sprintf("client %d went back from generation %d to %d", client, a.Generation, b.Generation))
			}
		}
	}
	return bad
}

// window is how many generations are checked at once.
const window = 8

// split cuts a history into parts that porcupine finishes, each of a few
// generations, and of each generation the two reads that bind: the one that was
// called last, which the next write must not precede, and the one that returned
// first, which its own write must. Nothing is lost by either. Where those two
// find their places, every other read of the generation has one between the two
// writes as well. And each generation is written once, only after the one
// before was, so a read that is out of order with any write is so with its own
// or with the next. Neighbouring parts share a generation for that.
func split(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	var binding [][]porcupine.Operation // by generation: the write, then the reads
	for _, op := range ops {
		in := op.Input.(operation)
		switch {
		case in.write:
			binding = append(binding, []porcupine.Operation{op, {}, {}}[:1])
		case len(binding[in.generation]) == 1:
			binding[in.generation] = append(binding[in.generation], op, op)
		default:
			if last := &binding[in.generation][1]; op.Call > last.Call {
				*last = op
			}
			if first := &binding[in.generation][2]; op.Return < first.Return {
				*first = op
			}
		}
	}
	for from := 0; from == 0 || from < len(binding)-1; from += window {
		parts = append(parts, slices.Concat(binding[from:min(from+window+1, len(binding))]...))
	}
	return parts
}

// culprit names a read that fits to no write, for people; the verdict is
// porcupine's.
func culprit(part []porcupine.Operation) string {
	written := map[int]porcupine.Operation{}
	for _, op := range part {
		if in := op.Input.(operation); in.write {
			written[in.generation] = op
		}
	}
	for _, op := range part {
		in := op.Input.(operation)
		if next, ok := written[in.generation+1]; !in.write && ok && next.Return < op.Call {
			return fmt.Sprintf("%s was given generation %d, %v after the next one was stored", in.who, in.generation, time.Duration(op.Call-next.Return).Round(time.Millisecond))
		}
		if own, ok := written[in.generation]; !in.write && ok && op.Return < own.Call {
			return fmt.Sprintf("%s was given generation %d, %v before it was stored", in.who, in.generation, time.Duration(own.Call-op.Return).Round(time.Millisecond))
		}
	}
	return fmt.Sprintf("%d operations", len(part))
}
