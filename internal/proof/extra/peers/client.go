package peers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/spf13/cobra"

	"github.com/evercred/evercred/owner/claudecode"
)

// What a client is told by its environment.
const (
	varDir    = "PEER_DIR"    // evercred: the storage directory
	varFile   = "PEER_FILE"   // the file with the tokens
	varIssuer = "PEER_ISSUER" // the endpoint's address, without a path
	varToken  = "PEER_TOKEN_URL"
)

// Command is what the suite starts its clients with: this program again.
func Command() *cobra.Command {
	clients := map[string]func([]string) error{"library": library, "sdk": sdk, "crate": ofCrate, "exec": become}
	return &cobra.Command{
		Use: "peer", Short: "Be a client of the suite P", Hidden: true,
		Args: cobra.MinimumNArgs(1), DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			client := clients[args[0]]
			if client == nil {
				return fmt.Errorf("there is no client %q", args[0])
			}
			if err := barrier(); err != nil {
				return err
			}
			return client(args[1:])
		},
	}
}

// barrier says that the program is loaded, and returns when its standard input
// ends.
func barrier() error {
	ready := os.NewFile(3, "ready")
	if _, err := ready.Write([]byte{'.'}); err != nil {
		return err
	}
	ready.Close()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// library asks evercred for one token, and on SIGTERM does what its
// documentation asks of a program: to close the Source before it ends.
func library([]string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	src, err := claudecode.Open(&claudecode.Options{ConfigDir: os.Getenv(varDir), TokenURL: os.Getenv(varToken)})
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = src.Token(ctx)
	return err
}

// sdk makes one API request with the profile that the official Go SDK finds.
func sdk([]string) error {
	client := anthropic.NewClient()
	_, err := client.Messages.New(context.Background(), anthropic.MessageNewParams{
		Model: "none", MaxTokens: 1, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("."))},
	})
	return err
}

func ofCrate([]string) error {
	c := crate{path: os.Getenv(varFile), url: os.Getenv(varToken)}
	_, err := c.token(context.Background())
	return err
}

// become turns into a program that knows no barrier.
func become(argv []string) error { return syscall.Exec(argv[0], argv, os.Environ()) }
