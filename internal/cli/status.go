package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/timing"
)

type statusOptions struct{ all, json bool }

func newStatus(a *app) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what is stored, where, and how long it lives",
		Long: `Says what is stored, where, why it is this login and no other, and how long it
lives. It never refreshes and prints no secret. Exit 0: the login is usable, or
can be renewed; 3, 4 or 7 otherwise, with the report all the same.

With --all it lists every source of a credential that this machine may have, in
the order of --source auto, and the state of each. No helper is run and nobody is
asked. Exit 0: something is usable or can be renewed; otherwise 3.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if o.all {
				return runStatusAll(a, o)
			}
			return runStatus(a, o)
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "list every source")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func runStatus(a *app, o statusOptions) error {
	return a.within(func(s *session) error {
		st, err := wait(s, s.src.Status)
		if err != nil {
			return err
		}
		if st.Place == "" {
			st.Place = s.login.file
		}
		st.Notes = slices.Concat(s.login.warnings, s.login.passed, st.Notes)
		s.login.lookBehind()
		if o.json {
			err = a.printJSON(statusOf(st, s.login))
		} else {
			err = a.print(a.statusText(st, s.login))
		}
		if err != nil || st.Usable || st.Renewable {
			return err
		}
		return st.Err
	})
}

// statusJSON is `status --json`. Its shape is held by a test.
type statusJSON struct {
	Version   int        `json:"version"`
	Source    sourceJSON `json:"source"`
	State     string     `json:"state"`
	Usable    bool       `json:"usable"`
	Renewable bool       `json:"renewable"`
	Access    string     `json:"access,omitempty"`  // fingerprints
	Refresh   string     `json:"refresh,omitempty"` //
	ExpiresAt time.Time  `json:"expiresAt,omitzero"`
	RenewAt   time.Time  `json:"renewAt,omitzero"`
	Deadline  time.Time  `json:"deadline,omitzero"` // the end of the login itself
	Plan      string     `json:"plan,omitempty"`
	Tier      string     `json:"tier,omitempty"`
	ClientID  string     `json:"clientId,omitempty"`
	Scopes    []string   `json:"scopes"`
	Notes     []string   `json:"notes"`
	Error     *errorJSON `json:"error,omitempty"`
	Ledger    ledgerJSON `json:"ledger"`
}

// sourceJSON says which login it is, and why.
type sourceJSON struct {
	Name     string   `json:"name"`
	Place    string   `json:"place"`
	ChosenBy string   `json:"chosenBy"` // a flag, a variable or "default"
	Shadowed []string `json:"shadowedBy"`
	// Auto: it was found by --source auto; Shadows are those behind it.
	Auto    bool     `json:"auto"`
	Shadows []string `json:"shadows"`
}

// ledgerJSON is what the processes of this machine remember of the login.
type ledgerJSON struct {
	Path          string    `json:"path"`
	Exists        bool      `json:"exists"`
	LastGrant     time.Time `json:"lastGrant,omitzero"`
	CooldownUntil time.Time `json:"cooldownUntil,omitzero"`
	CooldownWhy   string    `json:"cooldownReason,omitempty"`
	Open          int       `json:"open"`
	Escrow        int       `json:"escrow"`
	Holder        string    `json:"holder,omitempty"`
}

func statusOf(st evercred.Status, l *login) statusJSON {
	return statusJSON{
		Version: jsonVersion,
		Source:  sourceJSON{l.source, st.Place, l.why(), list(l.shadows), l.auto, list(l.over)},
		State:   string(st.State), Usable: st.Usable, Renewable: st.Renewable,
		Access: st.Access, Refresh: st.Refresh,
		ExpiresAt: exact(st.Expires), RenewAt: exact(st.RenewAt), Deadline: exact(st.Deadline),
		Plan: st.Plan, Tier: st.Tier, ClientID: st.ClientID,
		Scopes: list(st.Scopes), Notes: list(st.Notes), Error: toJSON(st.Err),
		Ledger: ledgerJSON{
			Path: st.Ledger.Path, Exists: st.Ledger.Exists, LastGrant: exact(st.Ledger.LastGrant),
			CooldownUntil: exact(st.Ledger.CooldownUntil), CooldownWhy: string(st.Ledger.CooldownWhy),
			Open: st.Ledger.Open, Escrow: st.Ledger.Escrow, Holder: st.Ledger.Holder,
		},
	}
}

// list is never null in JSON.
func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// why says who chose the login.
func (l *login) why() string { return orDefault(l.chosenBy) }

func orDefault(chosenBy string) string {
	if chosenBy == "" {
		return "default"
	}
	return chosenBy
}

// table is the report for people: a word and what there is to say.
type table struct{ strings.Builder }

// row adds a line; nothing to say, no line.
func (t *table) row(word, text string) {
	if text != "" {
		fmt.Fprintf(t, "%-13s%s\n", word, text)
	}
}

func (a *app) statusText(st evercred.Status, l *login) string {
	var t table
	t.row("source", l.source+" ("+l.reason()+")")
	t.row("place", printable(st.Place))
	t.row("state", a.stateText(st))
	t.row("expires", a.when(st.Expires))
	if st.RenewAt.After(a.now()) { // else the state says it
		t.row("renewal due", a.when(st.RenewAt))
	}
	t.row("login ends", a.deadlineText(st.Deadline))
	t.row("plan", strings.Trim(printable(st.Plan+", "+st.Tier), ", "))
	t.row("scopes", printable(strings.Join(st.Scopes, " ")))
	t.row("token", fingerprints(st))
	if l.stored() {
		a.ledgerRows(&t, st.Ledger)
	}
	if st.Err != nil && (st.Usable || st.Renewable) { // else it is told as an error
		t.row("trouble", printable(st.Err.Error()))
		t.row("remedy", printable(a.hint(st.Err)))
	}
	t.row("shadows", printable(strings.Join(l.over, ", ")))
	for _, name := range l.shadows {
		t.row("shadowed by", name+": Claude Code itself uses that instead of this login")
	}
	for _, note := range st.Notes {
		t.row("note", printable(note))
	}
	return t.String()
}

func (l *login) reason() string {
	switch {
	case l.auto:
		return "found by auto; named by " + l.chosenBy
	case l.chosenBy == "":
		return "by default"
	}
	return "named by " + l.chosenBy
}

// when is a moment; an unknown one says nothing.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return a.moment(t)
}

// deadlineText warns three days ahead (FAILURES R17).
func (a *app) deadlineText(t time.Time) string {
	text := a.when(t)
	if text == "" || t.Sub(a.now()) > timing.Default().DeadlineWarning {
		return text
	}
	return a.paint(yellow, text+": "+a.remedy(evercred.ReasonDeadline))
}

func (a *app) stateText(st evercred.Status) string {
	c := red
	switch {
	case st.Usable:
		c = green
	case st.Renewable:
		c = yellow
	}
	return a.paint(c, string(st.State)) + meaning(st)
}

// meaning says a state in other words.
func meaning(st evercred.Status) string {
	switch {
	case st.State == evercred.StateOnDemand:
		return ": made when it is asked for"
	case st.Usable && st.Renewable:
		return ": usable, and renewed when it is due"
	case st.Usable && st.Expires.IsZero():
		return ": usable until it is refused, and cannot be renewed"
	case st.Usable:
		return ": usable until its end, and cannot be renewed"
	case st.Renewable:
		return ": the next use renews it"
	}
	return ": not usable"
}

func fingerprints(st evercred.Status) string {
	text := ""
	if st.Access != "" {
		text = "fingerprint " + st.Access
	}
	if st.Refresh != "" {
		text += ", refresh token " + st.Refresh
	}
	return strings.TrimPrefix(text, ", ")
}

func (a *app) ledgerRows(t *table, l evercred.LedgerStatus) {
	switch {
	case l.Path == "":
		t.row("ledger", "none: only this process excludes itself")
	case !l.Exists:
		t.row("ledger", "none yet: no refresh was tried here")
	default:
		t.row("ledger", printable(l.Path))
	}
	t.row("last grant", a.when(l.LastGrant))
	if !l.CooldownUntil.IsZero() {
		t.row("cooldown", fmt.Sprintf("ends %s (%s)", a.moment(l.CooldownUntil), l.CooldownWhy))
	}
	if l.Escrow > 0 {
		t.row("escrow", fmt.Sprintf("%d answer(s) of the endpoint wait to be saved; the next use saves them", l.Escrow))
	} else if l.Open > 0 {
		t.row("attempts", fmt.Sprintf("%d without a known outcome", l.Open))
	}
	if l.Holder != "" {
		t.row("held by", printable(l.Holder)+", which is refreshing")
	}
}
