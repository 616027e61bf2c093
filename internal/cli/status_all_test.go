package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A line of the list fits on a narrow terminal, whatever state a source is in;
// what is longer stands on a line of its own.
func TestListIsNarrow(t *testing.T) {
	a := &app{stdout: new(strings.Builder), now: time.Now}
	var j allJSON
	for _, state := range []string{"fresh", "expired", "cannot-renew", "unreadable", stateAbsent, stateBroken, stateNotRun} {
		j.Sources = append(j.Sources, placeJSON{
			Name: "env:CLAUDE_CODE_OAUTH_TOKEN", Place: "/" + strings.Repeat("long/", 40), Present: state != stateAbsent, Auto: state == "fresh",
			State: state, Usable: state == "fresh", Renewable: state == "expired", ExpiresAt: a.now().Add(47*time.Hour + 59*time.Minute),
			Error: &errorJSON{Message: strings.Repeat("word ", 40)}, Notes: []string{"a\x1b[2Jnote"},
		})
	}
	text := a.allText(j)
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "      ") && utf8.RuneCountInString(line) > 64 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	if strings.Contains(text, "\x1b") || strings.Count(text, "\n* ") != 1 || !strings.HasPrefix(text, "* ") {
		t.Errorf("%q", text)
	}
}
