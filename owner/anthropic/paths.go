package anthropic

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
)

// The variables that say where a profile lives (INTEROP §6).
const (
	VarConfigDir = "ANTHROPIC_CONFIG_DIR"
	VarProfile   = "ANTHROPIC_PROFILE"
)

// What lies in the directory.
const (
	activeName      = "active_config" // names the profile
	configsName     = "configs"       // NAME.json: how a profile authenticates
	credentialsName = "credentials"   // NAME.json: its tokens
	defaultProfile  = "default"
)

// Location is where a profile lives, and what said so.
type Location struct {
	// Dir is the directory of all profiles, absolute, with its links.
	Dir string
	// Profile is the name: letters, digits, '_', '.', '-'.
	Profile string
	// Config is the profile's config file, Credentials the file with its tokens,
	// unless Config names another: Profile.Credentials counts. Nobody looked
	// whether they exist.
	Config, Credentials string
	// DirFrom is what decided on Dir: "option", or the name of a variable.
	DirFrom string
	// ProfileFrom is what decided on Profile: "option", VarProfile, the path of
	// active_config, or "" for the default.
	ProfileFrom string
	// Warnings say what looks unintended. They name variables and directories.
	Warnings []string
}

// Locate says which profile is meant, by the rules of the owner's clients:
// VarConfigDir if it is defined, else %APPDATA%\Anthropic on Windows, else
// $XDG_CONFIG_HOME/anthropic, else .config/anthropic in the home directory; in it
// VarProfile if it is defined, else what active_config says, else "default".
// configDir and profile, if not empty, overrule all of that.
//
// lookup is os.LookupEnv or its like. Of the disk it looks at active_config
// alone, and only if nothing else names the profile: one stat, and one read if it
// is there.
//
// ErrConfig: ReasonConfigDir: VarConfigDir is defined and empty. ReasonNoHome: no
// directory is known. ReasonProfile: that is no name of a profile. ErrUnsafe:
// active_config is there and cannot be read.
func Locate(lookup func(string) (string, bool), configDir, profile string) (Location, error) {
	return environment{lookup, runtime.GOOS, fsys.Default()}.locate(configDir, profile)
}

// Locate is the function, with what o names.
func (o Options) Locate() (Location, error) {
	o = filled(&o)
	return environment{o.LookupEnv, runtime.GOOS, o.Seams.Filled().FS}.locate(o.ConfigDir, o.Profile)
}

// environment is what the rules depend on.
type environment struct {
	lookup func(string) (string, bool)
	goos   string
	disk   fsys.FS
}

const fromOption = "option"

func (e environment) locate(configDir, profile string) (Location, error) {
	l, dir, err := e.directory(configDir)
	if err != nil {
		return Location{}, err
	}
	if l.Dir, err = filepath.Abs(dir); err != nil {
		return Location{}, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonConfigDir, Where: dir,
			What: "the directory of the profiles is relative and the current one is not known", Err: err}
	}
	if err := l.name(e, profile); err != nil {
		return Location{}, err
	}
	l.Config = filepath.Join(l.Dir, configsName, l.Profile+".json")
	l.Credentials = filepath.Join(l.Dir, credentialsName, l.Profile+".json")
	return l, nil
}

// directory finds that of the profiles, as it is written.
func (e environment) directory(option string) (Location, string, error) {
	named, set := e.lookup(VarConfigDir)
	switch {
	case option != "":
		return doubt(fromOption, option, option)
	case set && named == "":
		return Location{}, "", &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonConfigDir, Where: VarConfigDir,
			What: "the variable is defined and empty: the owner's clients then look in the current directory; unset it or name a directory"}
	case set:
		return doubt(VarConfigDir, named, named)
	}
	bases := []struct {
		variable string
		below    []string
	}{{"XDG_CONFIG_HOME", []string{"anthropic"}}, {"HOME", []string{".config", "anthropic"}}}
	if e.goos == "windows" {
		bases = bases[:1]
		bases[0].variable, bases[0].below = "APPDATA", []string{"Anthropic"}
	}
	last := ""
	for _, b := range bases {
		if base, _ := e.lookup(b.variable); base != "" {
			return doubt(b.variable, base, filepath.Join(append([]string{base}, b.below...)...))
		}
		last = b.variable
	}
	return Location{}, "", &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonNoHome, Where: last,
		What: "the directory of the profiles is not known: set the variable, or name the directory with " + VarConfigDir}
}

// doubt warns of a directory that the shell should have completed.
func doubt(variable, raw, dir string) (Location, string, error) {
	l := Location{DirFrom: variable}
	switch {
	case raw == "~" || strings.HasPrefix(raw, "~/") || strings.HasPrefix(raw, `~\`):
		l.Warnings = append(l.Warnings, "the ~ in "+raw+" is taken literally, as the owner's clients do: it is not the home directory")
	case !filepath.IsAbs(raw):
		l.Warnings = append(l.Warnings, raw+" is relative: which profile it means depends on the current directory")
	}
	return l, dir, nil
}

// name finds the profile's.
func (l *Location) name(e environment, option string) error {
	if option != "" {
		l.Profile, l.ProfileFrom = option, fromOption
		return checkName(option, "the profile that was asked for")
	}
	if name, set := e.lookup(VarProfile); set {
		l.Profile, l.ProfileFrom = name, VarProfile
		return checkName(name, VarProfile)
	}
	path := filepath.Join(l.Dir, activeName)
	file, err := fsys.ReadSmall(e.disk, path, maxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unreadable("the file that names the active profile cannot be read", path, err)
	}
	if name := strings.TrimSpace(string(file.Text)); name != "" {
		l.Profile, l.ProfileFrom = name, path
		return checkName(name, path)
	}
	l.Profile = defaultProfile
	return nil
}

// checkName refuses what is no name of a profile, so that none leads out of the
// directory. It is the owner's rule (letters, digits, '_', '.', '-'), without the
// names that begin with a dot or hold two in a row. where is what named it.
func checkName(name, where string) error {
	what := ""
	switch {
	case name == "":
		what = "the name of the profile is empty"
	case len(name) > 200:
		what = "the name of the profile is longer than 200 characters"
	case strings.ContainsAny(name, `/\`):
		what = "the name of the profile holds a path separator"
	case name[0] == '.' || strings.Contains(name, ".."):
		what = "the name of the profile begins with a dot or holds two in a row"
	case strings.IndexFunc(name, notInName) >= 0:
		what = "the name of the profile holds a character other than letters, digits, '_', '.' and '-'"
	default:
		return nil
	}
	return &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonProfile, Where: where,
		What: what + "; name one of those in the directory " + configsName}
}

func notInName(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && r != '_' && r != '.' && r != '-'
}

// maxConfig is the largest active_config or config file that is read; a real one
// has under 1 KB.
const maxConfig = 1 << 20
