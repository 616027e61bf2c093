//go:build unix

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/anthropic"
)

// clientVar makes this program a client, by its name in clients.
const clientVar = "EVERCRED_TEST_CLIENT"

// The clients; each finds the profile by ANTHROPIC_CONFIG_DIR.
var clients = map[string]func() (client, error){
	"sdk":      prepareSDK,
	"evercred": func() (client, error) { return prepareEvercred(false) },
	"blind":    func() (client, error) { return prepareEvercred(true) }, // the control: its looks show an older copy
}

// client does what it is there for, once.
type client func(context.Context) error

func TestMain(m *testing.M) {
	if prepare := clients[os.Getenv(clientVar)]; prepare != nil {
		if err := be(prepare); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	credtest.Main(m)
}

// be says on descriptor 3 that it is ready, and starts when its input ends.
func be(prepare func() (client, error)) error {
	run, err := prepare()
	if err != nil {
		return err
	}
	ready := os.NewFile(3, "ready")
	if _, err := ready.Write([]byte{'.'}); err != nil {
		return err
	}
	ready.Close()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return run(context.Background())
}

// prepareSDK makes one API request with the profile that the SDK finds by itself.
func prepareSDK() (client, error) {
	return func(ctx context.Context) error {
		c := sdk.NewClient()
		_, err := c.Messages.New(ctx, sdk.MessageNewParams{
			Model: "none", MaxTokens: 1, Messages: []sdk.MessageParam{sdk.NewUserMessage(sdk.NewTextBlock("."))},
		})
		return err
	}, nil
}

// prepareEvercred asks for one token, prints its fingerprint, and fails if a
// refresh token was sent that the file did not hold at the last look before.
func prepareEvercred(blind bool) (client, error) {
	seams := new(seam.Seams)
	p, err := anthropic.Load(&anthropic.Options{Options: evercred.Options{Seams: seams}})
	if err != nil {
		return nil, err
	}
	w := &watch{path: p.Credentials}
	seams.Dial = w.dial
	seams.FS = w
	if blind {
		if seams.FS, err = newOlder(w); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error {
		src, err := p.Open()
		if err != nil {
			return err
		}
		defer src.Close()
		tok, err := src.Token(ctx)
		if err != nil {
			return errors.Join(err, w.verdict())
		}
		fmt.Println(evercred.NewSecret(tok.Reveal()).Fingerprint())
		return w.verdict()
	}, nil
}
