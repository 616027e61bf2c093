package peers

import (
	"fmt"
	"strings"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Row is one cell of the table: a peer, an endpoint, and how many clients of it
// start at once on one expired login.
type Row struct {
	Peer    string `json:"peer"`
	Profile string `json:"profile"`
	Clients int    `json:"clients"`
	Races   int    `json:"races"`
	Grants  string `json:"grants"` // in a race
	Reuses  int    `json:"reuses"` // in all of them, like the rest
	Lost    int    `json:"lost"`
	Bytes   string `json:"bytes"` // of neighbours, removed or added by a race
	Kill    string `json:"sigkill"`
	Term    string `json:"sigterm"`

	Failed int    `json:"failed"` // clients that ended without a token
	Mode   string `json:"mode"`   // of the file, after
}

// bounds are the least and the most of something.
type bounds struct {
	least, most int
	any         bool
}

func (b *bounds) add(n int) {
	if !b.any {
		*b = bounds{n, n, true}
	}
	b.least, b.most = min(b.least, n), max(b.most, n)
}

func (b bounds) String() string {
	if b.least == b.most {
		return fmt.Sprint(b.least)
	}
	return fmt.Sprintf("%d to %d", b.least, b.most)
}

// races runs one cell.
func (n *loopback) races(r *suite.Run, p *peer, profile issuer.Profile, clients int) (Row, error) {
	row := Row{Peer: p.label(), Profile: name(profile), Clients: clients}
	var grants, changed bounds
	var modes []string
	for i := range r.N {
		c := fmt.Sprintf("race/%s/%s/%d/%d", p.name, name(profile), clients, i)
		if !r.Wanted(c) {
			continue
		}
		if err := r.Context().Err(); err != nil {
			return row, err
		}
		l, err := n.lay(r, p, behaviour(profile), nil)
		if err != nil {
			return row, err
		}
		failed, words, err := n.race(r, p, l, clients)
		s := l.state()
		g, reused := l.endpoint.Grants(), l.endpoint.Reuses()
		l.close()
		if err != nil {
			return row, fmt.Errorf("%s: %w", c, err)
		}
		row.Races, row.Reuses, row.Failed = row.Races+1, row.Reuses+reused, row.Failed+failed
		grants.add(g)
		changed.add(s.changed)
		if s.lost {
			row.Lost++
		}
		if m := fmt.Sprintf("%04o", s.mode); !strings.Contains(strings.Join(modes, " "), m) {
			modes = append(modes, m)
		}
		if !p.ours {
			continue
		}
		if ok := g == 1 && reused == 0 && !s.lost && s.changed == 0 && s.mode == 0o600 && failed == 0; !ok {
			r.Violation(c, "%d grants, %d reuses, lost: %t %s, %d bytes of neighbours changed, mode %v, %d clients without a token: %s",
				g, reused, s.lost, s.note, s.changed, s.mode, failed, words)
		}
		r.Saw(fmt.Sprintf("%d processes at once, %s", clients, p.name), plural(g, "grant"))
	}
	row.Grants, row.Bytes, row.Mode = grants.String(), changed.String(), strings.Join(modes, " ")
	return row, nil
}

func (n *loopback) race(r *suite.Run, p *peer, l *login, clients int) (failed int, words string, err error) {
	g, err := n.gather(r, p, l, clients)
	if err != nil {
		return clients, "", err
	}
	failed = g.race(r.Context())
	return failed, g.messages(), nil
}

// name is how the tables call an endpoint.
func name(p issuer.Profile) string {
	if p == issuer.Strict() {
		return "strict"
	}
	return "idempotent"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// behaviour is the endpoint of every race and kill. It does not speak of scopes:
// they belong to the neighbours here.
func behaviour(p issuer.Profile) issuer.Behaviour {
	return issuer.Behaviour{Profile: p, AfterCommit: answerTime, Members: map[string]string{"scope": ""}}
}
