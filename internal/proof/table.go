package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred/internal/proof/suite"
)

// records is where the committed results lie, quoted what quotes them.
const records = "docs/proof"

var quoted = []string{"README.md", "docs/proof.md"}

// tables by the name that stands in the marks of a document.
var tables = map[string]func([]*suite.Record) (string, error){
	"summary":  summary,
	"faults":   faults,
	"peers":    peers,
	"race":     race,
	"controls": controls,
}

func tableCommand() *cobra.Command {
	var write bool
	c := &cobra.Command{
		Use:   "table",
		Short: `Print "fault × outcome" from the records in docs/proof`,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := readRecords(records)
			if err != nil {
				return err
			}
			if !write {
				for _, name := range []string{"summary", "faults", "controls", "race", "peers"} {
					text, err := tables[name](all)
					if err != nil {
						return err
					}
					fmt.Println(text)
				}
				return nil
			}
			for _, name := range quoted {
				old, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				text, err := quote(old, all)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if err := os.WriteFile(name, text, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&write, "write", false, "put the tables into README.md and docs/proof.md")
	return c
}

// readRecords reads the records in the order of the suites' numbers.
func readRecords(dir string) ([]*suite.Record, error) {
	all, err := suite.Read(dir)
	slices.SortFunc(all, func(a, b *suite.Record) int { return number(a) - number(b) })
	return all, err
}

func number(r *suite.Record) int {
	n, err := strconv.Atoi(strings.TrimPrefix(r.Suite, "T"))
	if err != nil {
		n = 99 // the peers stand last
	}
	if r.Size == suite.Unscaled {
		return 2*n + 1
	}
	return 2 * n
}

// quote fills what stands between the marks <!-- proof:NAME --> and
// <!-- /proof --> of a document.
func quote(doc []byte, all []*suite.Record) ([]byte, error) {
	var out bytes.Buffer
	for {
		before, rest, found := bytes.Cut(doc, []byte("<!-- proof:"))
		out.Write(before)
		if !found {
			return out.Bytes(), nil
		}
		name, rest, _ := bytes.Cut(rest, []byte(" -->"))
		_, after, found := bytes.Cut(rest, []byte("<!-- /proof -->"))
		table, known := tables[string(name)]
		if !known || !found {
			return nil, fmt.Errorf("the mark of table %q is unknown or not closed", name)
		}
		text, err := table(all)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "<!-- proof:%s -->\n%s<!-- /proof -->", name, text)
		doc = after
	}
}

// summary has one row for each suite.
func summary(all []*suite.Record) (string, error) {
	var b strings.Builder
	b.WriteString("| suite | what is done to evercred | tried | promises broken | controls caught |\n| --- | --- | ---: | ---: | ---: |\n")
	for _, r := range all {
		name, about := r.Suite+" "+r.Name, r.About
		if r.Size == suite.Unscaled {
			name, about = name+", unscaled", "The same with the times of the design."
		}
		caught := 0
		for _, c := range r.Controls {
			if c.Found != "" {
				caught++
			}
		}
		of := "–"
		if len(r.Controls) > 0 {
			of = fmt.Sprintf("%d of %d", caught, len(r.Controls))
		}
		n, unit := tried(r)
		fmt.Fprintf(&b, "| %s | %s | %s %s | %d | %s |\n", name, about, grouped(n), unit, r.Violated, of)
	}
	return b.String(), nil
}

// tried is how many units a run did, as far as it counted them itself, in all its
// parts together. A suite that repeats its cells counts cases.
func tried(r *suite.Record) (n int, unit string) {
	for _, s := range suites() {
		if s.ID == r.Suite && s.Tried != nil {
			return s.Tried(r)
		}
	}
	counted := false
	for name, v := range r.Figures {
		if f, ok := v.(float64); ok && (name == r.Unit || strings.HasSuffix(name, ": "+r.Unit)) {
			n, counted = n+int(f), true
		}
	}
	switch {
	case counted:
		return n, r.Unit
	case strings.HasPrefix(r.Unit, "repeats"):
		return r.Count(), "cases"
	}
	return r.Count(), r.Unit
}

// grouped is a number with a space at each thousand.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// faults is the table "fault × outcome".
func faults(all []*suite.Record) (string, error) {
	var b strings.Builder
	b.WriteString("| suite | fault | outcomes |\n| --- | --- | --- |\n")
	for _, r := range all {
		if r.Size == suite.Unscaled {
			continue
		}
		for i := 0; i < len(r.Cases); {
			fault := r.Cases[i].Fault
			var outcomes []string
			for ; i < len(r.Cases) && r.Cases[i].Fault == fault; i++ {
				outcomes = append(outcomes, fmt.Sprintf("%s: %s", r.Cases[i].Outcome, grouped(r.Cases[i].Count)))
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Suite, fault, strings.Join(outcomes, "; "))
		}
	}
	return b.String(), nil
}

// readable is how many characters of what a control found a table repeats; the
// rest is in the record.
const readable = 240

// controls lists the rules that were taken away and what then went wrong.
func controls(all []*suite.Record) (string, error) {
	var b strings.Builder
	b.WriteString("| suite | rule taken out of the source | what the suite then found |\n| --- | --- | --- |\n")
	for _, r := range all {
		for _, c := range r.Controls {
			found, _, _ := strings.Cut(c.Found, "\n")
			if r := []rune(found); len(r) > readable {
				found = string(r[:readable]) + "…"
			}
			if found == "" {
				found = "**nothing**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Suite, c.Rule, strings.ReplaceAll(found, "|", "\\|"))
		}
	}
	return b.String(), nil
}

// peer is one row of the suite P.
type peer struct {
	Peer    string `json:"peer"`
	Profile string `json:"profile"`
	Clients int    `json:"clients"`
	Races   int    `json:"races"`
	Grants  string `json:"grants"`
	Reuses  int    `json:"reuses"`
	Lost    int    `json:"lost"`
	Bytes   string `json:"bytes"`
	Kill    string `json:"sigkill"`
	Term    string `json:"sigterm"`
}

// peers is the table of the others beside us.
func peers(all []*suite.Record) (string, error) {
	rows, err := races(all)
	return table(rows), err
}

// race is the same for the largest crowd that each program was driven with, at
// an endpoint that forgives nothing.
func race(all []*suite.Record) (string, error) {
	rows, err := races(all)
	var most []peer
	for _, p := range rows {
		i := slices.IndexFunc(most, func(q peer) bool { return q.Peer == p.Peer })
		switch {
		case p.Profile != "strict":
		case i < 0:
			most = append(most, p)
		case p.Clients > most[i].Clients:
			p.Kill, p.Term = most[i].Kill, most[i].Term // they stand in a program's first row
			most[i] = p
		}
	}
	return table(most), err
}

// races are the rows of the record of P.
func races(all []*suite.Record) ([]peer, error) {
	i := slices.IndexFunc(all, func(r *suite.Record) bool { return r.Suite == "P" })
	if i < 0 {
		return nil, errors.New("there is no record of the peers")
	}
	raw, err := json.Marshal(all[i].Figures["peers"])
	if err != nil {
		return nil, err
	}
	var rows []peer
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, fmt.Errorf("%s: the rows of the peers: %w", filepath.Join(records, "P.json"), err)
	}
	return rows, nil
}

func table(rows []peer) string {
	var b strings.Builder
	b.WriteString("| program | endpoint | clients | races | grants a race | reuses | logins lost | neighbours' bytes | SIGKILL: lost | SIGTERM: lost |\n")
	b.WriteString("| --- | --- | ---: | ---: | --- | ---: | ---: | --- | --- | --- |\n")
	for _, p := range rows {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %s | %d | %d | %s | %s | %s |\n", p.Peer, p.Profile, p.Clients, p.Races, p.Grants, p.Reuses, p.Lost, p.Bytes, p.Kill, p.Term)
	}
	return b.String()
}
