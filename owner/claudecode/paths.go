package claudecode

import (
	"crypto/sha256"
	"encoding/hex"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/evercred/evercred"
)

// The variables that say where the login lives (INTEROP §1).
const (
	VarStorageDir = "CLAUDE_SECURESTORAGE_CONFIG_DIR"
	VarConfigDir  = "CLAUDE_CONFIG_DIR"
)

// documentName is the file in the storage directory.
const documentName = ".credentials.json"

// Location is where Claude Code keeps its login.
type Location struct {
	// Dir is the storage directory, absolute and without "..", but with its
	// links. Nobody looked whether it exists.
	Dir string
	// Document is the credentials file in Dir.
	Document string
	// Variable is the one that decided; empty: none did. A directory that the
	// caller named counts as VarConfigDir.
	Variable string
	// Raw is the variable as it was written: on macOS the keychain item is named
	// after this string, not after the directory.
	Raw string
	// Warnings say what looks unintended. They name variables and directories.
	Warnings []string
}

// Locate says where the login lives, by the rules of the owner: VarStorageDir if
// it is defined at all, else VarConfigDir, else .claude in the home directory.
// configDir, if not empty, stands for VarConfigDir, and because somebody asked
// for it by name it also overrules VarStorageDir, with a warning.
//
// lookup is os.LookupEnv or its like. Beside it only the current directory is
// read, for relative paths; the disk is not looked at.
//
// ErrConfig with ReasonConfigDir: VarConfigDir is defined and empty, which makes
// the owner look in the current directory and find nothing. ErrConfig with
// ReasonNoHome: the home directory is needed and not known.
func Locate(lookup func(string) (string, bool), configDir string) (Location, error) {
	return environment{lookup, runtime.GOOS}.locate(configDir)
}

// environment is what the rules depend on.
type environment struct {
	lookup func(string) (string, bool)
	goos   string
}

func (e environment) locate(configDir string) (Location, error) {
	storage, storageSet := e.lookup(VarStorageDir)
	config, configSet := e.lookup(VarConfigDir)
	var l Location
	switch {
	case configDir != "":
		l.Variable, l.Raw = VarConfigDir, configDir
		if storageSet {
			l.warn(VarStorageDir + " is defined and overruled by the directory that was named")
		}
	case storageSet:
		l.Variable, l.Raw = VarStorageDir, storage
		if configSet && config != storage {
			l.warn(VarConfigDir + " does not say where the login is, because " + VarStorageDir + " is defined")
		}
	case configSet && config == "":
		return Location{}, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonConfigDir, Where: VarConfigDir,
			What: "the variable is defined and empty: Claude Code then looks in the current directory and finds no login; unset it or name a directory"}
	case configSet:
		l.Variable, l.Raw = VarConfigDir, config
	}
	return e.resolve(l)
}

// resolve makes the directory of what the variables said.
func (e environment) resolve(l Location) (Location, error) {
	dir := l.Raw
	if dir == "" {
		home, err := e.home()
		if err != nil {
			return Location{}, err
		}
		dir = filepath.Join(home, ".claude")
	} else {
		l.doubt(dir)
	}
	abs, err := filepath.Abs(dir) // Clean is part of it: "..", trailing slashes
	if err != nil {
		return Location{}, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonConfigDir, Where: dir,
			What: "the directory is relative and the current one is not known", Err: err}
	}
	l.Dir, l.Document = abs, filepath.Join(abs, documentName)
	return l, nil
}

// Service is the owner's name of the keychain item that holds the login on macOS.
// The variable as it was written is part of it, not the directory that it leads
// to [many] (INTEROP §1); one that is defined and empty means the default
// directory, and the name of that.
func (l Location) Service() string {
	const name = "Claude Code-credentials"
	if l.Raw == "" {
		return name
	}
	sum := sha256.Sum256(norm.NFC.Bytes([]byte(l.Raw)))
	return name + "-" + hex.EncodeToString(sum[:4])
}

// plainAccount are the names that the owner uses as they are [few] (INTEROP §1).
var plainAccount = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// Account is the account of that item. lookup is os.LookupEnv or its like; the
// system is asked only where USER says nothing.
func Account(lookup func(string) (string, bool)) string { return account(lookup, systemUser) }

func account(lookup func(string) (string, bool), system func() string) string {
	name, _ := lookup("USER")
	if name == "" {
		name = system()
	}
	if !plainAccount.MatchString(name) {
		return "claude-code-user"
	}
	return name
}

// systemUser is empty where the system does not know.
func systemUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// doubt warns of a directory that the shell should have completed.
func (l *Location) doubt(dir string) {
	switch {
	case dir == "~" || strings.HasPrefix(dir, "~/") || strings.HasPrefix(dir, `~\`):
		l.warn("the ~ in " + dir + " is taken literally, as Claude Code does: it is not the home directory")
	case !filepath.IsAbs(dir):
		l.warn(dir + " is relative: which login it means depends on the current directory")
	}
}

func (l *Location) warn(text string) { l.Warnings = append(l.Warnings, text) }

// home is what os.homedir of the owner's runtime reads first.
func (e environment) home() (string, error) {
	name := "HOME"
	if e.goos == "windows" {
		name = "USERPROFILE"
	}
	home, _ := e.lookup(name)
	if home == "" {
		return "", &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonNoHome, Where: name,
			What: "the home directory is not known: set it, or name the directory of the login"}
	}
	return home, nil
}

// A shadow is a variable that makes the owner use something else than the
// stored login.
type shadow struct {
	variable string
	flag     bool // on or off, rather than a value
}

// shadows are in the owner's order (INTEROP §6). The third provider is in the
// owner's documentation (code.claude.com/docs/en/microsoft-foundry).
var shadows = [...]shadow{
	{"CLAUDE_CODE_USE_BEDROCK", true},
	{"CLAUDE_CODE_USE_VERTEX", true},
	{"CLAUDE_CODE_USE_FOUNDRY", true},
	{"ANTHROPIC_AUTH_TOKEN", false},
	{"ANTHROPIC_API_KEY", false},
	{"CLAUDE_CODE_OAUTH_TOKEN", false},
}

// Shadows names the variables that make Claude Code itself use something else
// than its stored login, the strongest first. lookup is os.LookupEnv or its
// like; no value is returned.
func Shadows(lookup func(string) (string, bool)) []string {
	var names []string
	for _, s := range shadows {
		value, _ := lookup(s.variable)
		if value != "" && !(s.flag && isOff(value)) {
			names = append(names, s.variable)
		}
	}
	return names
}

// isOff is how people switch a flag off.
func isOff(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "0", "false", "no", "off":
		return true
	}
	return false
}
