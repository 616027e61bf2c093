// Package docs holds the pages that the command shows.
package docs

import (
	_ "embed"
	"strings"
)

//go:embed troubleshooting.md
var troubleshooting string

// Troubleshooting is the section of troubleshooting.md about a reason.
func Troubleshooting(reason string) (section string, ok bool) {
	if strings.ContainsAny(reason, "\n") {
		return "", false
	}
	_, rest, ok := strings.Cut(troubleshooting, "\n## "+reason+"\n")
	if !ok {
		return "", false
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return reason + "\n" + strings.TrimRight(body, "\n") + "\n", true
}

// Reasons lists the sections.
func Reasons() []string {
	var names []string
	for line := range strings.Lines(troubleshooting) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}
