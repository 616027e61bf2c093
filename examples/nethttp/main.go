// Command nethttp lists the models that the API offers, by net/http alone and with
// the credential that Claude Code itself would use here.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/owner/claudecode"
	"github.com/evercred/evercred/sources"
)

func main() {
	if err := models(context.Background(), os.Stdout, nil, "https://"+claudecode.APIHost, claudecode.APIHost); err != nil {
		fmt.Fprintln(os.Stderr, "nethttp:", err)
		os.Exit(1)
	}
}

func models(ctx context.Context, out io.Writer, opts *sources.Options, api, host string) error {
	src, err := sources.Open(sources.Auto, opts)
	if err != nil {
		return err
	}
	defer src.Close() // a refresh that is under way is saved first
	client := &http.Client{Transport: &evercred.Transport{Provider: src, Hosts: []string{host}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/v1/models", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	_, err = io.Copy(out, resp.Body)
	return err
}
