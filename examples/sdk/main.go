// Command sdk asks one question by the official Go SDK, with the credential that
// Claude Code itself would use here.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/claudecode"
	"github.com/evercred/evercred/sources"
)

func main() {
	if err := ask(context.Background(), os.Stdout, nil, "https://"+claudecode.APIHost, claudecode.APIHost); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func ask(ctx context.Context, answer io.Writer, opts *sources.Options, api, host string) error {
	src, err := sources.Open(sources.Auto, opts)
	if err != nil {
		return err
	}
	defer src.Close() // a refresh that is under way is saved first
	t := &evercred.Transport{Provider: src, Hosts: []string{host}}
	client := anthropic.NewClient(
		option.WithoutEnvironmentDefaults(), // or the SDK would look for a credential too
		option.WithBaseURL(api),
		option.WithMiddleware(t.Middleware),
	)
	message, err := client.Messages.New(ctx, anthropic.MessageNewParams{
		Model:     anthropic.ModelClaudeHaiku4_5,
		MaxTokens: 100,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Say hello."))},
	})
	if err != nil {
		return err
	}
	for _, block := range message.Content {
		fmt.Fprintln(answer, block.Text)
	}
	return nil
}
