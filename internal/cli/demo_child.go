package cli

import (
	"net/netip"
	"net/url"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred/internal/crash"
)

// newDemoChild is `evercred token` that kills itself on the way. The demo calls
// it; people have no use for it.
func newDemoChild(a *app) *cobra.Command {
	point := ""
	cmd := &cobra.Command{
		Use:    "child",
		Short:  "Die in the middle of a refresh",
		Hidden: true,
		Args:   noArguments,
		RunE: func(*cobra.Command, []string) error {
			// A real login must not be lost by anybody who tries this out.
			if !isLoopback(a.common.tokenURL) {
				return usage("demo child kills itself before a token endpoint on loopback only").advise("run `evercred demo`")
			}
			if !slices.Contains(crash.Points(), crash.Point(point)) {
				return usage("there is no crash point %q", point).advise("run `evercred demo`")
			}
			dieAt(crash.Point(point))
			return runToken(a, tokenOptions{format: "raw"})
		},
	}
	cmd.Flags().StringVar(&point, "die-at", "", "where")
	return cmd
}

// dieAt makes this process kill itself at a point: no handler, no deferred call.
func dieAt(point crash.Point) {
	crash.Set(func(at crash.Point) {
		if at != point {
			return
		}
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill() // if it fails, the demo says that nobody was killed
		}
		select {}
	})
}

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}
