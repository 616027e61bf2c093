package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/suite"
)

// peer is a program that renews a login.
type peer struct {
	name, version string
	ours          bool
	store         format
	argv          []string
	// public: it sends no client id, so its login is one that was issued to none.
	public bool
}

// field is everybody, with evercred first.
func field(r *suite.Run) ([]peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	evercred, err := r.Build("./cmd/evercred", 1)
	if err != nil {
		return nil, err
	}
	all := []peer{
		{name: "evercred, the command", ours: true, store: claude, argv: []string{self, "peer", "exec", evercred, "token"}},
		{name: "evercred, the library", ours: true, store: claude, argv: []string{self, "peer", "library"}},
	}
	if r.Size == suite.InControl || strings.Contains(r.Only, "/evercred, ") {
		return all, nil
	}
	npm, err := install(r.Context(), r)
	if err != nil {
		return nil, err
	}
	node := func(script string) []string {
		return []string{"node", "--require", filepath.Join(npm, "shim.cjs"), filepath.Join(npm, script)}
	}
	all = append(all,
		peer{name: "anthropic-sdk-go", version: imported("github.com/anthropics/anthropic-sdk-go"), store: profile, argv: []string{self, "peer", "sdk"}},
		peer{name: "@anthropic-ai/sdk", version: pinned("@anthropic-ai/sdk"), store: profile, argv: node("sdk.mjs")},
		peer{name: "@mariozechner/pi-coding-agent", version: pinned("@mariozechner/pi-coding-agent"), store: pi, argv: node("pi.mjs")},
		peer{name: "the original crate's algorithm", store: claude, argv: []string{self, "peer", "crate"}, public: true},
	)
	for _, p := range all {
		if p.version != "" {
			r.Version(p.name, p.version)
		}
	}
	return all, nil
}

// imported is the version of a module in this program.
func imported(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "unknown"
}

// label is how the tables call it.
func (p *peer) label() string { return strings.TrimSpace(p.name + " " + p.version) }

// command prepares a client of p, with nothing of our environment but the way to
// the programs.
func (p *peer) command(r *suite.Run, l *login) *exec.Cmd {
	argv := p.argv
	base := strings.TrimSuffix(l.endpoint.URL(), issuer.TokenPath)
	if p.ours && argv[2] == "exec" {
		argv = append(argv[:len(argv):len(argv)], "--config-dir", l.dir, "--token-url", l.endpoint.URL())
	}
	cmd := exec.CommandContext(r.Context(), argv[0], argv[1:]...)
	cmd.Dir = r.Module
	cmd.Env = []string{
		"HOME=" + filepath.Dir(l.dir), "PATH=" + os.Getenv("PATH"), "ANTHROPIC_CONFIG_DIR=" + l.dir,
		varDir + "=" + l.dir, varFile + "=" + l.path, varIssuer + "=" + base, varToken + "=" + l.endpoint.URL(),
	}
	return cmd
}
