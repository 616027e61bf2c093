package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evercred/evercred/internal/proof/suite"
)

// The documents quote the committed records and nothing else.
func TestDocumentsQuoteTheRecords(t *testing.T) {
	top := filepath.Join("..", "..")
	all, err := readRecords(filepath.Join(top, records))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range quoted {
		doc, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(doc, []byte("<!-- proof:")) {
			t.Errorf("%s quotes no table", name)
		}
		want, err := quote(doc, all)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(doc, want) {
			t.Errorf("%s differs from docs/proof: go run ./internal/proof table --write", name)
		}
	}
}

// What is committed must have held, and every suite must have left a record.
func TestCommittedRecordsPassed(t *testing.T) {
	all, err := readRecords(filepath.Join("..", "..", records))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, r := range all {
		have[r.Suite] = true
		if !r.Passed() || len(r.Skipped) > 0 {
			t.Errorf("%s: gates %+v, violations %d, controls %+v, skipped %v, %s", r.Suite, r.Gates, r.Violated, r.Controls, r.Skipped, r.Failure)
		}
		if r.Size != suite.Full && r.Size != suite.Unscaled {
			t.Errorf("%s: a record of size %q", r.Suite, r.Size)
		}
	}
	for _, s := range suites() {
		if !have[s.ID] {
			t.Errorf("%s has no record", s.ID)
		}
	}
	for _, e := range elsewhere {
		for _, id := range e.IDs {
			if !have[id] {
				t.Errorf("%s has no record", id)
			}
		}
	}
}

// A control whose text is gone from the source would be found at the next long run only.
func TestControlsFitTheSource(t *testing.T) {
	for _, s := range suites() {
		if err := s.Fit(filepath.Join("..", ".."), t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

func TestQuote(t *testing.T) {
	all := []*suite.Record{{Suite: "T3", Name: "crashes", About: "Killed.", Unit: "states", Size: suite.Full,
		Cases:    []suite.Case{{Fault: "killed", Outcome: "lost", Count: 1}, {Fault: "killed", Outcome: "saved", Count: 12345}},
		Controls: []suite.Controlled{{Rule: "no escrow", Found: "lost | gone\nsteps"}, {Rule: "no fsync"}}}}
	doc := []byte("a\n<!-- proof:faults -->\nold\n<!-- /proof -->\nb\n<!-- proof:controls --><!-- /proof -->\n<!-- proof:summary --><!-- /proof -->")
	got, err := quote(doc, all)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a\n", "| T3 | killed | lost: 1; saved: 12\u202f345 |\n<!-- /proof -->\nb\n", "| no escrow | lost \\| gone |", "| no fsync | **nothing** |", "| 12\u202f346 states | 0 | 1 of 2 |"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if again, err := quote(got, all); err != nil || !bytes.Equal(again, got) {
		t.Errorf("quoting twice differs: %v", err)
	}
	for _, bad := range []string{"<!-- proof:nothing --><!-- /proof -->", "<!-- proof:faults -->"} {
		if _, err := quote([]byte(bad), all); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
