package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred/owner/anthropic"
	"github.com/evercred/evercred/owner/claudecode"
	"github.com/evercred/evercred/sources"
)

// completeSource offers the sources, and after "profile:" the profiles that are
// there.
func (a *app) completeSource(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	words := []string{sources.Auto, sources.ClaudeCode, sources.Profile, sources.Env, sources.Helper, sources.Federation, sources.File + ":"}
	switch kind, _, more := strings.Cut(typed, ":"); {
	case more && kind == sources.File: // the shell knows nothing of the prefix, so it cannot help with the path
		return nil, cobra.ShellCompDirectiveNoSpace
	case more && kind == sources.Profile:
		words = after(sources.Profile, a.profiles())
	case more && kind == sources.Env:
		words = after(sources.Env, []string{claudecode.VarAuthToken, claudecode.VarAPIKey, claudecode.VarOAuthToken})
	}
	words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, typed) })
	return words, cobra.ShellCompDirectiveNoFileComp
}

func after(kind string, names []string) (words []string) {
	for _, n := range names {
		words = append(words, kind+":"+n)
	}
	return words
}

// profiles are the names of the Anthropic profiles here, sorted. Nothing is
// opened.
func (a *app) profiles() (names []string) {
	at, err := anthropic.Locate(a.lookup, "", "any") // a name given: no file says which
	if err != nil {
		return nil
	}
	files, _ := os.ReadDir(filepath.Dir(at.Config)) // none: no profiles
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".json"); ok && sources.Valid(sources.Profile+":"+name) == nil {
			names = append(names, name)
		}
	}
	return names
}
