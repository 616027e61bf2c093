package peers

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/evercred/evercred/internal/proof/suite"
)

// tools are the npm packages by exact version and hash, and what drives them.
//
//go:embed npm
var tools embed.FS

// install puts the npm tools into a directory of the run. Their own scripts are
// not run. The cache outlives the run; npm checks what is in it against the
// hashes of the lock file.
func install(ctx context.Context, r *suite.Run) (string, error) {
	dir := filepath.Join(r.Dir, "npm")
	if err := os.CopyFS(r.Dir, tools); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--no-update-notifier",
		"--prefer-offline", "--cache", filepath.Join(os.TempDir(), "evercred-proof-npm"))
	cmd.Dir, cmd.Env = dir, suite.Env(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("node --version: %w", err)
	}
	r.Version("node", strings.TrimSpace(string(node)))
	return dir, nil
}

// pinned is the version of an npm package.
func pinned(name string) string {
	var p struct{ Dependencies map[string]string }
	b, err := fs.ReadFile(tools, "npm/package.json")
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		panic(err) // it is part of this program
	}
	return p.Dependencies[name]
}

// notDriven are tools that refresh such a login and are not in the table.
var notDriven = []string{
	"opencode-anthropic-auth 0.0.13: a plugin; what it refreshes is stored by its host, which is no npm module",
	"@suncreation/crush-auth-proxy 1.1.7: exports nothing, and answers a refused refresh by a login in a browser",
	"better-ccflare 3.5.4: one bundle of a server and its database, made for another runtime; nothing to import",
	"opencode-claude-auth and @rynfar/meridian: not in the registry",
	"the Claude Code CLI and what starts it: proprietary",
}
