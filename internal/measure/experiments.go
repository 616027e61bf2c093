package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/timing"
)

// hot: the resolve of a valid token beside its floor. The two are timed in turn,
// and the ratio is the median of the turns.
func hot(l *lab) error {
	bin := filepath.Join(l.dir, "root.test")
	if out, err := exec.Command("go", "test", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	for _, kind := range []string{"", "Parallel"} {
		if err := l.besideFloor(bin, "Token"+kind+"$", kind, 25); err != nil {
			return err
		}
	}
	for _, source := range []string{"env", "helper", "federation", "profile", "file"} {
		for _, kind := range []string{"", "Parallel"} {
			if err := l.besideFloor(bin, "Source"+kind+"$/^"+source+"$", source+" "+kind, 11); err != nil {
				return err
			}
		}
	}
	return nil
}

// besideFloor times a benchmark and its floor in turn.
func (l *lab) besideFloor(bin, name, title string, turns int) error {
	floorName := "Floor$"
	if strings.Contains(name, "Parallel") {
		floorName = "FloorParallel$"
	}
	var ratios, tokens, floors []float64
	var allocs string
	for range turns {
		token, n, err := l.benchmark(bin, name)
		if err != nil {
			return err
		}
		floor, _, err := l.benchmark(bin, floorName)
		if err != nil {
			return err
		}
		ratios, tokens, floors, allocs = append(ratios, token/floor), append(tokens, token), append(floors, floor), n
	}
	fmt.Printf("hot      %-19s %.2f × the floor (%.1f ns, floor %.1f ns; median of %d turns), %s allocations; ceiling 1.10\n",
		strings.ToLower(title), median(ratios), median(tokens), median(floors), turns, allocs)
	return nil
}

// benchmark runs one of the root package's; its name ends a regular expression.
func (l *lab) benchmark(bin, name string) (ns float64, allocs string, err error) {
	cmd := exec.Command(bin, "-test.run", "^$", "-test.bench", "^Benchmark"+name, "-test.benchtime", "100ms")
	cmd.Env = []string{"HOME=" + l.dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("%w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 8 && strings.HasPrefix(f[0], "Benchmark") {
			ns, err = strconv.ParseFloat(f[2], 64)
			return ns, f[6], err
		}
	}
	return 0, "", errors.New("the benchmark printed nothing")
}

// cold: a process that prints a fresh token of each source that asks nobody, beside
// one that only reads a file.
func cold(l *lab) error {
	login := issuer.New(nil).Login()
	dir, err := l.login(login, time.Hour, 300)
	if err == nil {
		err = l.profile(dir, login, time.Hour)
	}
	if err != nil {
		return err
	}
	file := filepath.Join(dir, ".credentials.json")
	for _, s := range []struct {
		name      string
		env, args []string
	}{
		{"token on a fresh login", nil, []string{"--config-dir", dir}},
		{"token --source file:…", nil, []string{"--source", "file:" + file}},
		{"token --source profile", []string{"ANTHROPIC_CONFIG_DIR=" + dir}, []string{"--source", "profile"}},
		{"token --source env", []string{"ANTHROPIC_AUTH_TOKEN=" + login.Access}, []string{"--source", "env"}},
	} {
		err := l.besideBase(s.name, file, func() *exec.Cmd { return l.bare(s.env, append([]string{"token"}, s.args...)...) })
		if err != nil {
			return err
		}
	}
	return nil
}

// besideBase runs pairs of a command and the base program, which must print the
// same token.
func (l *lab) besideBase(name, file string, command func() *exec.Cmd) error {
	var ours, theirs []time.Duration
	var ratios []float64
	for i := range 200 {
		if i%20 == 0 {
			if err := l.install(); err != nil {
				return err
			}
		}
		evercred, base := command(), exec.Command(l.base, file)
		base.Env = evercred.Env
		var a, b outcome
		if i%2 == 0 { // whoever comes second finds warmer caches
			a, b = once(evercred), once(base)
		} else {
			b, a = once(base), once(evercred)
		}
		if a.token == "" || a.token != b.token {
			return fmt.Errorf("%s: no token: exit %d", name, a.code)
		}
		ours, theirs = append(ours, a.took), append(theirs, b.took)
		ratios = append(ratios, float64(a.took)/float64(b.took))
	}
	fmt.Printf("cold     %s: %.2f × a program that reads and prints the file (%s, %s; median of 200 pairs); ceiling 1.15\n",
		name, median(ratios), ms(median(ours)), ms(median(theirs)))
	return nil
}

// storm: 64 processes on an expired login, beside 64 on a fresh one.
func storm(l *lab) error {
	const n, take = 64, 300 * time.Millisecond
	s, err := endpoint(take)
	if err != nil {
		return err
	}
	defer s.Close()
	fresh, err := l.login(s.Login(), time.Hour, 300)
	if err != nil {
		return err
	}
	var base, ours []time.Duration
	for range 5 {
		calm, _ := l.all(n, fresh, s.URL())
		expired, err := l.login(s.Login(), -time.Minute, 300)
		if err != nil {
			return err
		}
		before := s.Grants()
		took, outcomes := l.all(n, expired, s.URL())
		if distinct, have := tokens(outcomes); distinct != 1 || have != n || s.Grants() != before+1 {
			return fmt.Errorf("%d of %d have a token, %d distinct, %d grants", have, n, distinct, s.Grants()-before)
		}
		base, ours = append(base, calm), append(ours, took)
	}
	calm, took := median(base), median(ours)
	settle := timing.Default().Settle
	fmt.Printf("storm    64 processes, expired login: 1 grant each time, %s; fresh login: %s; (expired − grant − settle) / fresh = %.2f; ceiling 3\n",
		ms(took), ms(calm), float64(took-take-settle)/float64(calm))
	return nil
}

// refresh: what a refresh costs beyond the grant and the start of a process.
func refresh(l *lab) error {
	const take = 300 * time.Millisecond
	s, err := endpoint(take)
	if err != nil {
		return err
	}
	defer s.Close()
	var extra []time.Duration
	for range 20 {
		dir, err := l.login(s.Login(), -time.Minute, 300)
		if err != nil {
			return err
		}
		o := once(l.command(dir, s.URL(), "token"))
		again := once(l.command(dir, s.URL(), "token"))
		if o.token == "" || o.token != again.token {
			return fmt.Errorf("no token: exit %d", o.code)
		}
		extra = append(extra, o.took-again.took-take)
	}
	fmt.Printf("refresh  %s beyond the grant and the start of the process, %s of it the settle time (median of 20)\n", ms(median(extra)), ms(timing.Default().Settle))
	return nil
}

// dead: what a process of ours that was killed with the locks costs the next one.
func dead(l *lab) error {
	const take = 100 * time.Millisecond
	s, err := endpoint(take)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, point := range []crash.Point{crash.DuringLock, crash.AfterAnswer, crash.AfterSave} {
		var delays []time.Duration
		for range 10 {
			dir, err := l.login(s.Login(), -time.Minute, 300)
			if err != nil {
				return err
			}
			once(l.command(dir, s.URL(), "demo", "child", "--die-at", string(point)))
			o := once(l.command(dir, s.URL(), "token"))
			if o.token == "" {
				return fmt.Errorf("no token after %s: exit %d", point, o.code)
			}
			delays = append(delays, o.took)
		}
		fmt.Printf("dead     killed at %-12s the next process has its token after %s, its own grant included (median of 10); ceiling for the delay 1 s\n", string(point)+":", ms(median(delays)))
	}
	return nil
}

// outage: 500 callers on an expired login, and nobody listens at the endpoint.
func outage(l *lab) error {
	const n = 500
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + port.Addr().String() + issuer.TokenPath
	port.Close() // connections are refused from now on
	dir, err := l.login(issuer.New(nil).Login(), -time.Minute, 300)
	if err != nil {
		return err
	}
	took, outcomes := l.all(n, dir, url)
	var each []time.Duration
	for _, o := range outcomes {
		if o.code != 5 {
			return fmt.Errorf("exit %d, want 5", o.code)
		}
		each = append(each, o.took)
	}
	slices.Sort(each)
	fmt.Printf("outage   500 processes: all exit 5 within %s; the slowest single one %s, the median %s\n", ms(took), ms(each[n-1]), ms(each[n/2]))
	return nil
}

// memoryHere is the argument with which this program measures from a process of
// its own.
const memoryHere = "memory-here"

// memory: what `evercred token` has resident. The kernel gives a child the most
// that its parent ever had as its first figure, so a small parent has to ask.
func memory(l *lab) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, memoryHere, l.evercred)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func resident(l *lab) error {
	for _, pad := range []int{300, 1 << 20} {
		dir, err := l.login(issuer.New(nil).Login(), time.Hour, pad)
		if err != nil {
			return err
		}
		var most int64
		for range 10 {
			o := once(l.command(dir, "", "token"))
			if o.token == "" {
				return fmt.Errorf("no token: exit %d", o.code)
			}
			most = max(most, o.rssKB)
		}
		fmt.Printf("memory   %.1f MB resident with a document of %d KB (most of 10); ceiling 25\n", float64(most)/1024, pad>>10)
	}
	return nil
}
