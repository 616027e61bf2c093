package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionOptions struct{ json bool }

func newVersion(a *app) *cobra.Command {
	var o versionOptions
	cmd := &cobra.Command{
		Use:         "version",
		Short:       "Print the version",
		Annotations: map[string]string{withoutLogin: ""},
		Args:        noArguments,
		RunE:        func(*cobra.Command, []string) error { return runVersion(a, o) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// versionJSON is `version --json`.
type versionJSON struct {
	Version  int    `json:"version"` // of the JSON, as everywhere
	Evercred string `json:"evercred"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func runVersion(a *app, o versionOptions) error {
	v := built()
	if o.json {
		return a.printJSON(v)
	}
	revision := ""
	if v.Revision != "" {
		revision = " (" + v.Revision + ")"
	}
	return a.print(fmt.Sprintf("evercred %s%s %s %s/%s\n", v.Evercred, revision, v.Go, v.OS, v.Arch))
}

// built is what the linker wrote down.
func built() versionJSON {
	v := versionJSON{Version: jsonVersion, Evercred: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Evercred = info.Main.Version
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			v.Revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+"
		}
	}
	if v.Revision != "" {
		v.Revision += modified
	}
	return v
}
