package claudecode

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
)

// maxSettings is more than any settings file has.
const maxSettings = 1 << 20

// Settings are the files that may name an apiKeyHelper. A project's are never
// among them: a cloned repository can carry one (FAILURES S7).
type Settings struct {
	// Managed are the administrator's. The first that exists counts, and wins over
	// the user's.
	Managed []string
	// User is the user's own.
	User string
	// Seams are for this module's own tests; leave it nil.
	Seams *seam.Seams
}

// HelperSetting is an apiKeyHelper as it was found.
type HelperSetting struct {
	Command string
	// File named it; Managed: it is the administrator's.
	File    string
	Managed bool
}

// LocateSettings says where the settings are, by the rules of Locate, except that
// VarStorageDir moves the login and not the settings. lookup is os.LookupEnv or
// its like. Beside it the current directory is read, and no file.
//
// Where the home directory is not known, there are no settings of the user.
//
// ErrConfig: as Locate otherwise. ErrUnsafe with ReasonSettings: the directory of the user's
// settings is relative, or lies in the working directory: what is there may have
// come with a repository. A home directory that one works in is no such place.
// Beside ErrUnsafe the Settings name the files all the same.
func LocateSettings(lookup func(string) (string, bool), configDir string) (Settings, error) {
	return environment{lookup, runtime.GOOS}.settings(configDir)
}

func (e environment) settings(configDir string) (Settings, error) {
	settings := environment{func(name string) (string, bool) {
		if name == VarStorageDir {
			return "", false
		}
		return e.lookup(name)
	}, e.goos}
	s := Settings{Managed: e.managed()}
	l, err := settings.locate(configDir)
	switch {
	case evercred.ReasonOf(err) == evercred.ReasonNoHome:
		return s, nil
	case err != nil:
		return Settings{}, err
	}
	s.User = filepath.Join(l.Dir, "settings.json")
	if l.Variable == "" {
		return s, nil
	}
	if !filepath.IsAbs(l.Raw) {
		return s, badSettings("the settings directory is relative, so a repository could have brought what is there", l.Raw)
	}
	here, err := os.Getwd()
	if err != nil {
		return s, badSettings("the current directory is not known, so nobody can tell whether the settings are a project's", l.Dir)
	}
	home, _ := e.home()
	if below(l.Dir, here) && !(home != "" && below(home, here)) {
		return s, badSettings("the settings directory lies in the working directory, so a repository could have brought it", l.Dir)
	}
	return s, nil
}

// managed are the administrator's files (code.claude.com/docs/en/settings).
func (e environment) managed() []string {
	const name = "managed-settings.json"
	switch e.goos {
	case "darwin":
		return []string{"/Library/Application Support/ClaudeCode/" + name}
	case "windows":
		return []string{`C:\Program Files\ClaudeCode\` + name, `C:\ProgramData\ClaudeCode\` + name}
	}
	return []string{"/etc/claude-code/" + name}
}

// below reports whether path is dir or in it, however links spell the two.
func below(path, dir string) bool {
	rel, err := filepath.Rel(resolved(dir), resolved(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolved follows the links of as much of a path as exists.
func resolved(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(resolved(dir), filepath.Base(path))
	}
	return path
}

// Helper finds the apiKeyHelper. It runs nothing, and reads each file at most once.
//
// ErrNotFound: none of the files names one. ErrUnsafe with ReasonSettings: a file
// that is there cannot be read or understood, or others than the user and root
// may write to it; Error.Where is the file. The next one does not take its place:
// an administrator's file that is broken must not hand over to the user's. On
// Windows access lists are not looked at.
func (s Settings) Helper() (HelperSetting, error) {
	disk := s.Seams.Filled().FS
	for _, file := range s.Managed {
		command, there, err := helperIn(disk, file)
		if err != nil || command != "" {
			return HelperSetting{command, file, true}.orNone(err)
		}
		if there {
			break
		}
	}
	if s.User != "" {
		command, _, err := helperIn(disk, s.User)
		if err != nil || command != "" {
			return HelperSetting{command, s.User, false}.orNone(err)
		}
	}
	return HelperSetting{}, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "no settings file of the user or the administrator names an apiKeyHelper", Where: s.User}
}

func (h HelperSetting) orNone(err error) (HelperSetting, error) {
	if err != nil {
		return HelperSetting{}, err
	}
	return h, nil
}

// helperIn reads one file; an empty command: it names none.
func helperIn(disk fsys.FS, path string) (command string, there bool, err error) {
	file, err := fsys.ReadSmall(disk, path, maxSettings)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", true, &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonSettings, What: "the settings cannot be read", Where: path, Err: err}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(file.Text, []byte("\xef\xbb\xbf")), &members); err != nil || members == nil {
		return "", true, badSettings("the settings are not a JSON object", path)
	}
	raw, named := members["apiKeyHelper"]
	if !named || string(raw) == "null" {
		return "", true, nil
	}
	if json.Unmarshal(raw, &command) != nil {
		return "", true, badSettings("apiKeyHelper is not a text", path)
	}
	if command == "" {
		return "", true, nil
	}
	return command, true, trusted(disk, path, file)
}

// trusted refuses a command that others than the user and root could have
// written: into the file, or by putting another one, or a link, in its place.
func trusted(disk fsys.FS, path string, file fsys.Small) error {
	if why := writableByOthers("the file", file.Info); why != "" {
		return badSettings("the settings name a command, and "+why, path)
	}
	for _, dir := range slices.Compact([]string{filepath.Dir(path), filepath.Dir(file.Place)}) {
		info, err := disk.Stat(dir)
		if err != nil {
			return badSettings("nobody can tell who may write to the directory of the settings", dir)
		}
		if why := writableByOthers("the directory", info); why != "" {
			return badSettings("the settings in it name a command, and "+why, dir)
		}
	}
	return nil
}

// writableByOthers says who else may write; empty: nobody, or modes do not say
// (Windows). In a directory with the sticky bit others cannot replace a file.
func writableByOthers(what string, info fsys.Info) string {
	perm := info.Mode.Perm()
	switch {
	case info.UID < 0:
		return ""
	case info.UID != 0 && info.UID != os.Geteuid():
		return what + " belongs to another user"
	case info.Mode.IsDir() && info.Mode&os.ModeSticky != 0:
		return ""
	case perm&0o002 != 0:
		return "every user may write to " + what + " (take that away with chmod go-w)"
	case perm&0o020 != 0:
		return "its group may write to " + what + " (take that away with chmod g-w)"
	}
	return ""
}

func badSettings(what, where string) error {
	return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonSettings, What: what, Where: where}
}
