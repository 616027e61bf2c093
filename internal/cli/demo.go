package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
)

// demoLimit ends a demo that hangs; one that does not takes a few seconds.
const demoLimit = 20 * time.Second

type demoOptions struct {
	json      bool
	processes int

	// For tests: where everything goes, and what runs this program again, which
	// may be a broken one.
	temp  string
	again func(ctx context.Context, args ...string) *exec.Cmd
}

func newDemo(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what evercred does, without a login or a network",
		Long: `Shows what evercred does: against a token endpoint of its own on 127.0.0.1, with
logins that are invented, in a temporary directory that is gone afterwards. Many
processes ask at once; some are killed at the worst moments; the next ones go on.
Needs no login and no network, reads neither, and prints no token.

Everything in the table is counted from the endpoint's log and the files. Exit 1
if anything fell short of what is promised.`,
		Annotations: map[string]string{withoutLogin: ""},
		Args:        noArguments,
		RunE:        func(*cobra.Command, []string) error { return runDemo(a, o) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print the figures as JSON")
	cmd.Flags().IntVar(&o.processes, "processes", 64, "how many processes ask at once")
	cmd.AddCommand(newDemoChild(a))
	return cmd
}

func runDemo(a *app, o demoOptions) error {
	if o.processes < 2 || o.processes > 1000 {
		return usage("--processes %d: between 2 and 1000 can ask at once", o.processes).advise("64 is plenty")
	}
	ctx, stop := interruptible(demoLimit)
	defer stop()
	began := time.Now()
	s, err := newStage(a, o)
	if err != nil {
		return &advised{err: fmt.Errorf("the demo cannot be set up: %w", err), advice: "it needs a temporary directory and 127.0.0.1"}
	}
	scenes := s.play(ctx)
	err = s.close()
	var by *interrupted
	if errors.As(context.Cause(ctx), &by) {
		return by
	}
	if err != nil {
		return &advised{err: fmt.Errorf("the demo left something behind: %w", err), advice: "remove it"}
	}
	return a.showDemo(s.report(scenes, time.Since(began)), o.json)
}

// interruptible ends after limit, or with an *interrupted as its cause when a
// signal comes, so that nothing is left behind then either.
func interruptible(limit time.Duration) (ctx context.Context, stop func()) {
	timed, end := context.WithTimeout(context.Background(), limit)
	ctx, cancel := context.WithCancelCause(timed)
	signals := make(chan os.Signal, 1)
	for _, sig := range deadly {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case sig := <-signals:
			cancel(&interrupted{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		end()
		<-done
	}
}
