package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// demoJSON is `demo --json`. Its shape is held by a test.
type demoJSON struct {
	Version   int         `json:"version"`
	OK        bool        `json:"ok"`
	Seconds   float64     `json:"seconds"`
	Processes int         `json:"processes"` // all that were started
	Grants    int         `json:"grants"`
	Reuses    int         `json:"reuses"` // refresh tokens that came a second time
	Scenes    []sceneJSON `json:"scenes"`
}

type sceneJSON struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Seen     string   `json:"seen"`
	OK       bool     `json:"ok"`
	Short    []string `json:"short"` // what fell short of the promise
	Seconds  float64  `json:"seconds,omitzero"`
	Tokens   int      `json:"tokens,omitzero"`
	Grants   int      `json:"grants,omitzero"`
	Requests int      `json:"requests,omitzero"`
	// Takeover is from the start of the next process to its grant, in seconds.
	Takeover float64 `json:"takeoverSeconds,omitzero"`
	// Foreign counts the bytes that are not ours and stayed as they were.
	Foreign int `json:"foreignBytes,omitzero"`
}

func (s *stage) report(scenes []*scene, took time.Duration) demoJSON {
	j := demoJSON{
		Version: jsonVersion, OK: true, Seconds: rounded(took),
		Processes: int(s.children.Load()), Grants: s.endpoint.Grants(), Reuses: s.endpoint.Reuses(),
	}
	for _, c := range scenes {
		j.OK = j.OK && len(c.short) == 0
		j.Scenes = append(j.Scenes, sceneJSON{
			Name: c.name, Title: c.title, Seen: c.seen, OK: len(c.short) == 0, Short: list(c.short),
			Seconds: rounded(c.took), Tokens: c.tokens, Grants: c.grants, Requests: c.requests,
			Takeover: rounded(c.takeover), Foreign: c.foreign,
		})
	}
	return j
}

// rounded is a time in seconds, to the millisecond.
func rounded(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// showDemo prints the figures, and says what fell short.
func (a *app) showDemo(j demoJSON, asJSON bool) error {
	var err error
	if asJSON {
		err = a.printJSON(j)
	} else {
		err = a.print(a.demoTable(j))
	}
	if err != nil || j.OK {
		return err
	}
	for _, c := range j.Scenes {
		for _, what := range c.Short {
			a.say("demo: %s: %s", c.Title, what)
		}
	}
	a.say1("hint: please report this, with the output of `evercred version`")
	return exitStatus(exitBug)
}

func (a *app) demoTable(j demoJSON) string {
	rows := [][]string{{"scene", "what was seen", "grants", "time"}}
	for _, c := range j.Scenes {
		row := []string{c.Title, c.Seen, "", ""}
		if c.Requests > 0 {
			row[2] = plural(c.Grants, "grant")
		}
		if c.Seconds > 0 {
			row[3] = fmt.Sprintf("%.2f s", c.Seconds)
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	for i, line := range aligned(rows) {
		b.WriteString(line)
		if i > 0 {
			b.WriteString("  " + a.mark(j.Scenes[i-1].OK))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%s, %s, %s sent twice, %.1f s; nothing was left behind\n",
		plural(j.Processes, "process"), plural(j.Grants, "grant"), plural(j.Reuses, "refresh token"), j.Seconds)
	return b.String()
}

func (a *app) mark(ok bool) string {
	if ok {
		return a.paint(green, "ok")
	}
	return a.paint(red, "FELL SHORT")
}

// aligned pads the cells of each column to one width. The last column, of
// times, is set to the right.
func aligned(rows [][]string) []string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if cells[i] = cell + pad; i == len(row)-1 {
				cells[i] = pad + cell
			}
		}
		lines[n] = strings.Join(cells, "  ")
	}
	return lines
}

// plural counts things.
func plural(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// seconds is a short time for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
