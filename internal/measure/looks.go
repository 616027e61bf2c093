package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// looks: what finding the source by auto costs in system calls, for each place:
// those of `token --source auto` less those of the same source by its name.
func looks(l *lab) error {
	if _, err := exec.LookPath("strace"); err != nil {
		fmt.Println("looks    skipped: there is no strace")
		return nil
	}
	login := issuer.New(nil).Login()
	home, err := l.login(login, time.Hour, 300)
	if err != nil {
		return err
	}
	claude, profiles := filepath.Join(home, ".claude"), filepath.Join(home, ".config", "anthropic")
	if err := os.Mkdir(claude, 0o700); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(home, ".credentials.json"), filepath.Join(claude, ".credentials.json")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(claude, "settings.json"), []byte(`{"model":"x"}`), 0o600); err != nil {
		return err
	}
	if err := l.looksOf(home, "claude-code"); err != nil {
		return err
	}
	if err := l.profile(profiles, login, time.Hour); err != nil {
		return err
	}
	return l.looksOf(home, "profile")
}

func (l *lab) looksOf(home, winner string) error {
	found, err := l.traced(home, "auto")
	if err != nil {
		return err
	}
	named, err := l.traced(home, winner)
	if err != nil {
		return err
	}
	for _, place := range slices.Sorted(maps.Keys(found)) {
		c := found[place]
		c.stats -= named[place].stats
		c.reads -= named[place].reads
		if c != (calls{}) {
			fmt.Printf("looks    to find %s, at %s: %d stat, %d read; ceiling 1 of each\n", winner, strings.Replace(place, home, "~", 1), c.stats, c.reads)
		}
	}
	return nil
}

// calls are those with a path.
type calls struct{ stats, reads int }

var traceLine = regexp.MustCompile(`(\w+)\((?:AT_FDCWD, )?"([^"]+)"`)

// traced counts what a fresh token costs at the places of credentials.
func (l *lab) traced(home, source string) (map[string]calls, error) {
	cmd := l.bare([]string{"HOME=" + home}, "token", "--source", source)
	trace := exec.Command("strace", append([]string{"-f", "-qq", "-e", "trace=%file", cmd.Path}, cmd.Args[1:]...)...)
	trace.Env = cmd.Env
	var out, errs bytes.Buffer
	trace.Stdout, trace.Stderr = &out, &errs
	if err := trace.Run(); err != nil || out.Len() == 0 {
		return nil, fmt.Errorf("strace: %v: %s", err, &errs)
	}
	counts := make(map[string]calls)
	for _, m := range traceLine.FindAllStringSubmatch(errs.String(), -1) {
		call, path := m[1], m[2]
		if !strings.HasPrefix(path, home) && !strings.HasPrefix(path, "/etc/claude-code") || strings.Contains(path, ".evercred") {
			continue
		}
		c := counts[path]
		switch {
		case strings.Contains(call, "stat") && call != "statfs":
			c.stats++
		case strings.HasPrefix(call, "open"):
			c.reads++
		}
		counts[path] = c
	}
	return counts, nil
}
