// Command client is a program of the storm that lives long: it keeps one Source
// open and asks it for a token again and again. It takes nothing from the
// environment, tells its history in lines (stage.Line), and ends with its
// standard input.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/owner/claudecode"
)

func main() {
	dir := flag.String("dir", "", "the directory of the login")
	url := flag.String("token-url", "", "the token endpoint")
	pause := flag.Duration("pause", 100*time.Millisecond, "between two calls, about")
	patience := flag.Duration("patience", 10*time.Second, "how long a call may take")
	var opts evercred.Options
	flag.DurationVar(&opts.Probe, "probe", 0, "Options.Probe")
	flag.DurationVar(&opts.RefreshLate, "late", 0, "Options.RefreshLate")
	flag.Parse()
	if err := run(*dir, *url, opts, *pause, *patience); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(dir, url string, opts evercred.Options, pause, patience time.Duration) error {
	out := stage.NewLines(os.Stdout)
	opts.RefreshTimeout = patience
	opts.Observe = func(e evercred.Event) { tellEvent(out, e) }
	src, err := claudecode.Open(&claudecode.Options{
		Options:   opts,
		ConfigDir: dir,
		TokenURL:  url,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	ticker := time.NewTimer(0)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			if err = ask(ctx, src, out, patience); err != nil {
				stop() // nobody listens any more
			}
			ticker.Reset(pause/2 + rand.N(pause))
		}
	}
	return errors.Join(err, src.Close())
}

// ask makes one call and tells it.
func ask(ctx context.Context, src *evercred.Source, out *stage.Lines, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line := stage.Line{Op: "token", Call: time.Now().UnixNano()}
	token, err := src.Token(ctx)
	line.Return, line.Access = time.Now().UnixNano(), token.Fingerprint()
	if err != nil {
		line.Reason = reason(err)
	}
	return out.Tell(line)
}

func reason(err error) string {
	var e *evercred.Error
	if errors.As(err, &e) {
		return string(cmp.Or(e.Reason, evercred.Reason(e.Error())))
	}
	return err.Error()
}

func tellEvent(out *stage.Lines, e evercred.Event) {
	line := stage.Line{Op: "event", Call: e.At.UnixNano(), Return: time.Now().UnixNano(), Access: e.Access, Refresh: e.Refresh, Reason: string(e.Kind)}
	if e.Kind == evercred.EventLost {
		line.Lost = e.Until.UnixNano()
	}
	_ = out.Tell(line) // if nobody listens, the next call notices
}
