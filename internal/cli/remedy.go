package cli

import "github.com/evercred/evercred"

// remedy is what to do about a reason, in one clause. docs/troubleshooting.md
// says more.
func remedy(r evercred.Reason) string {
	const again = "log in again with `claude auth login`"
	switch r {
	case evercred.ReasonNoFile, evercred.ReasonNoSection:
		return "log in with `claude auth login`, or name the directory of the login with --config-dir"
	case evercred.ReasonNoHome:
		return "set the variable, or name the directory of the login with --config-dir"
	case evercred.ReasonConfigDir:
		return "unset the variable or make it name a directory"
	case evercred.ReasonNoProfile:
		return "log in with `ant auth login`, or name a profile that is there"
	case evercred.ReasonProfile:
		return "name another profile, or mend the file with `ant auth login`"
	case evercred.ReasonHost:
		return "use https, and --allow-token-host HOST on the command line if that host may be sent your refresh token"
	case evercred.ReasonUsage:
		return "`evercred help` says what can be asked"
	case evercred.ReasonBlanked, evercred.ReasonDeadline, evercred.ReasonNoRefresh, evercred.ReasonRefused, evercred.ReasonLostAnswer:
		return again
	case evercred.ReasonOlderCopy:
		return again + ", and keep the file out of backups that restore and tools that sync"
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
		return "leave --read-only out, or let the owner renew it: start `claude`"
	case evercred.ReasonTimeout:
		return "try again, perhaps with a longer --timeout"
	case evercred.ReasonOwner:
		return "run that command by hand and see what it says, or leave --refresh owner out"
	case evercred.ReasonLocked:
		return "try again when that process has ended; `evercred doctor` looks into a lock that nobody holds"
	case evercred.ReasonUnreadable:
		return "nothing was touched; look at the file, or log in again with `claude auth login`"
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
