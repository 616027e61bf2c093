package cli

import (
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/sources"
)

// makes is how a credential of some source comes to be, for remedies.
type makes struct {
	again  string // what to do if it is of no use any more
	absent string // or if there is none
	home   string // or if nobody knows where to look
	renews string // what renews it beside evercred
}

// madeBy is that of a source's name, with whatever follows the colon.
func madeBy(source string) makes {
	const other = ", or name another source with --source"
	switch kind, _, _ := strings.Cut(source, ":"); kind {
	case sources.Profile:
		return makes{
			again:  "log in again with `ant auth login`",
			absent: "log in with `ant auth login`, or name another profile with --source profile:NAME",
			home:   "set the variable, or name the directory of the profiles with ANTHROPIC_CONFIG_DIR",
			renews: "run `ant auth print-credentials --access-token >/dev/null`",
		}
	case sources.File:
		return makes{
			again:  "put a new login into the file, as its owner would",
			absent: "look at the path after file: it names a document like Claude Code's .credentials.json",
			home:   "name the file by its full path",
			renews: "start the program that keeps the file",
		}
	case sources.Env:
		return makes{again: "put another token into the variable", absent: "set the variable" + other, home: "set the variable"}
	case sources.Helper:
		return makes{
			again:  "let the command print another key",
			absent: "name a command with --helper, or as apiKeyHelper in your own settings.json" + other,
			home:   "set the variable, or name the directory of the settings with --config-dir",
		}
	case sources.Federation:
		return makes{
			again:  "get another identity token",
			absent: "set ANTHROPIC_IDENTITY_TOKEN_FILE, ANTHROPIC_FEDERATION_RULE_ID and ANTHROPIC_ORGANIZATION_ID" + other,
			home:   "set the variable",
		}
	}
	return makes{
		again:  "log in again with `claude auth login`",
		absent: "log in with `claude auth login`, or name the directory of the login with --config-dir",
		home:   "set the variable, or name the directory of the login with --config-dir",
		renews: "start `claude`",
	}
}

// remedy is what to do about a reason at the source in use.
func (a *app) remedy(r evercred.Reason) string { return remedy(r, madeBy(a.source)) }

// remedy is one clause. docs/troubleshooting.md says more.
func remedy(r evercred.Reason, by makes) string {
	switch r {
	case evercred.ReasonNoFile, evercred.ReasonNoSection:
		return by.absent
	case evercred.ReasonNoHome:
		return by.home
	case evercred.ReasonConfigDir:
		return "unset the variable or make it name a directory"
	case evercred.ReasonNoProfile:
		return "log in with `ant auth login`, or name a profile that is there"
	case evercred.ReasonProfile:
		return "name another profile, or mend the file with `ant auth login`"
	case evercred.ReasonHost:
		return "use https, and --allow-token-host HOST on the command line if that host may be sent your login"
	case evercred.ReasonUsage:
		return "`evercred help` says what can be asked"
	case evercred.ReasonBlanked, evercred.ReasonDeadline, evercred.ReasonNoRefresh, evercred.ReasonRefused, evercred.ReasonLostAnswer:
		return by.again
	case evercred.ReasonOlderCopy:
		return by.again + ", and keep the file out of backups that restore and tools that sync"
	case evercred.ReasonUnreachable:
		return "look at the network and the proxy, and try again"
	case evercred.ReasonNotEndpoint:
		return "look whether a portal or a proxy answers in its place, and try again"
	case evercred.ReasonRateLimited, evercred.ReasonSpacing, evercred.ReasonUnknownOutcome:
		return "try again in a minute; the login is kept"
	case evercred.ReasonEndpointError:
		return "look at --client-id and --token-url"
	case evercred.ReasonAPIRefuses:
		return "look what the API says about this account; new tokens do not help"
	case evercred.ReasonReadOnly:
		return "leave out --read-only or --refresh never, or let the owner renew it: " + by.renews
	case evercred.ReasonTimeout:
		return "try again, perhaps with a longer --timeout"
	case evercred.ReasonOwner:
		return "run that command by hand and see what it says, or leave --refresh owner out"
	case evercred.ReasonLocked:
		return "try again when that process has ended; `evercred doctor` looks into a lock that nobody holds"
	case evercred.ReasonUnreadable:
		return "nothing was touched; look at the file, or " + by.again
	case evercred.ReasonTooLarge:
		return "nothing was touched; look what filled the file"
	case evercred.ReasonPermissions:
		return "give the file and its directory to the user who runs this"
	case evercred.ReasonExposed:
		return "take the rights of others away with chmod 600, and log in again if somebody else may have read it"
	case evercred.ReasonLink:
		return "put the file itself in the place of the link"
	case evercred.ReasonCannotLock, evercred.ReasonCannotSave:
		return "make the directory of the login writable, and look for free space; `evercred doctor` looks into it"
	case evercred.ReasonFileMount:
		return "mount the directory instead of the file, or accept the risk with --allow-file-mount"
	case evercred.ReasonLoop:
		return "mend the links"
	case evercred.ReasonForeignOwner:
		return "run this as the owner of the directory; `evercred doctor` finds what belongs to others"
	case evercred.ReasonNewerLedger:
		return "use the newer evercred"
	case evercred.ReasonNetworkFS:
		return "keep the login on a local disk"
	case evercred.ReasonIdentity:
		return "look at the variable that names the identity token, and at whatever mounts or renews the file"
	case evercred.ReasonAssertion:
		return "compare the identity token's issuer, subject, audience and end with the federation rule"
	case evercred.ReasonHelper:
		return "run the helper's command by hand: it must print one line, the key, and end with 0"
	case evercred.ReasonVariable:
		return "correct the variable or unset it"
	case evercred.ReasonSettings:
		return "correct the settings file or its permissions, or name the helper's command with --helper"
	case evercred.ReasonKeychainLocked:
		return "unlock it with `security unlock-keychain`, or work in the session of the Mac's own screen"
	case evercred.ReasonKeychainFailed:
		return "look for a prompt on the Mac's screen, and try again"
	case evercred.ReasonKeychainSize:
		return "let its owner renew it with --refresh owner, or accept with --allow-argv that other processes of yours can see it"
	case evercred.ReasonConflict:
		return "try again"
	}
	return "please report this"
}
