package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// kill stands among the errors for a SIGKILL on entry of the call.
const kill = "SIGKILL"

// errnos are the errors that each call may really fail with; every call is a place
// to die as well.
var errnos = map[string]string{
	"openat":       "EACCES EMFILE ENFILE EIO EROFS ENOSPC EDQUOT EINTR ENOMEM EPERM",
	"read":         "EIO EINTR ENOMEM ECONNRESET ETIMEDOUT",
	"write":        "EIO ENOSPC EPIPE ECONNRESET",
	"pwrite64":     "ENOSPC EIO EDQUOT EINTR EFBIG EROFS ENOMEM",
	"fsync":        "EIO ENOSPC EDQUOT EROFS EINTR EINVAL",
	"fdatasync":    "EIO ENOSPC EDQUOT EROFS EINTR",
	"renameat":     "ENOSPC EIO EROFS EACCES EBUSY EXDEV EDQUOT EPERM ENOMEM EINTR",
	"renameat2":    "ENOSPC EIO EROFS EACCES EBUSY EXDEV EDQUOT EPERM ENOSYS EINVAL EINTR",
	"mkdirat":      "ENOSPC EIO EROFS EACCES EDQUOT EPERM ENOMEM EMLINK",
	"unlinkat":     "EIO EROFS EACCES EBUSY EPERM ENOMEM",
	"fchmod":       "EPERM EIO EROFS EOPNOTSUPP",
	"flistxattr":   "EOPNOTSUPP EIO EACCES ENOMEM ENOSYS",
	"fgetxattr":    "EOPNOTSUPP EIO EACCES ENOMEM",
	"fsetxattr":    "EOPNOTSUPP ENOSPC EDQUOT EPERM EIO",
	"fremovexattr": "EOPNOTSUPP EIO EACCES EPERM EROFS",
	"utimensat":    "EPERM EACCES EROFS EIO EINTR",
	"flock":        "ENOLCK ENOSYS EIO EINTR EAGAIN",
	"fallocate":    "ENOSPC EIO EDQUOT EOPNOTSUPP ENOSYS EINTR EFBIG",
	"ftruncate":    "EIO EROFS EPERM EINTR",
	"statx":        "EIO EACCES EINTR ENOMEM",
	"newfstatat":   "EIO EACCES ENOMEM",
	"fstat":        "EIO ENOMEM",
	"statfs":       "EIO ENOSYS EINTR EACCES",
	"getdents64":   "EIO ENOMEM",
	"readlinkat":   "EIO EACCES",
	"close":        "EIO ENOSPC EDQUOT EINTR",
	"socket":       "EMFILE ENFILE EACCES ENOBUFS",
	"connect":      "ECONNREFUSED ENETUNREACH ETIMEDOUT EACCES EINTR",
	"setsockopt":   "EINVAL ENOMEM",
	"getsockopt":   "ENOMEM",
	"epoll_ctl":    "ENOMEM ENOSPC",
}

// lasting are the errors that do not go away by themselves: with a "+" behind
// them they come from the when-th time on.
var lasting = map[string]string{
	"openat":    "EROFS+ EMFILE+ ENOSPC+",
	"pwrite64":  "ENOSPC+ EIO+ EDQUOT+",
	"fsync":     "EIO+ ENOSPC+",
	"fdatasync": "EIO+",
	"renameat":  "EIO+ EROFS+ EACCES+ ENOSPC+",
	"renameat2": "EROFS+ ENOSYS+",
	"mkdirat":   "ENOSPC+ EACCES+",
	"unlinkat":  "EROFS+ EPERM+",
	"fallocate": "ENOSPC+",
	"statx":     "EIO+",
	"connect":   "ECONNREFUSED+",
}

// families are the rows of the table.
var families = []struct{ name, errnos string }{
	{"no space", "ENOSPC EDQUOT EFBIG"},
	{"I/O error", "EIO"},
	{"not permitted", "EACCES EPERM EROFS"},
	{"no descriptors or memory", "EMFILE ENFILE ENOMEM ENOBUFS EMLINK"},
	{"interrupted", "EINTR"},
	{"not supported", "ENOSYS EOPNOTSUPP EINVAL ENOLCK"},
	{"busy, or another device", "EBUSY EXDEV EAGAIN"},
	{"network errors", "ECONNREFUSED ECONNRESET ENETUNREACH ETIMEDOUT EPIPE"},
}

func family(errno string) string {
	if strings.HasSuffix(errno, "+") {
		return "an error that lasts"
	}
	for _, f := range families {
		if slices.Contains(strings.Fields(f.errnos), errno) {
			return f.name + " (" + strings.ReplaceAll(f.errnos, " ", ", ") + ")"
		}
	}
	return errno
}

// fault is one case: the when-th time that a thread makes a call, it fails.
type fault struct {
	scene   scene
	profile string
	call    string
	errno   string
	when    int
}

func (f fault) String() string {
	return fmt.Sprintf("%s/%s/%s/%s/%d", f.scene.name, f.profile, f.call, f.errno, f.when)
}

// parse is the inverse of String.
func parse(name string) (f fault, ok bool) {
	p := strings.Split(name, "/")
	if len(p) != 5 {
		return f, false
	}
	i := slices.IndexFunc(scenes, func(s scene) bool { return s.name == p[0] })
	when, err := strconv.Atoi(p[4])
	if i < 0 || err != nil {
		return f, false
	}
	return fault{scenes[i], p[1], p[2], p[3], when}, true
}

// inject is the fault in strace's words. Its when counts in each thread, so a
// fault may hit once in several of them.
func (f fault) inject() string {
	if f.errno == kill {
		return fmt.Sprintf("%s:signal=KILL:when=%d", f.call, f.when)
	}
	errno, on := strings.CutSuffix(f.errno, "+")
	if on {
		return fmt.Sprintf("%s:error=%s:when=%d+", f.call, errno, f.when)
	}
	return fmt.Sprintf("%s:error=%s:when=%d", f.call, errno, f.when)
}

// asked reports whether a case is meant by a name, which may leave out the
// occurrence: that of one run is not always that of the next.
func (f fault) asked(only string) bool {
	return only == f.String() || strings.HasPrefix(f.String(), only+"/")
}

// plan is every fault of the scenes, in an order in which each call and error
// comes early: most is how often a thread made a call in a scene.
func plan(most map[string]map[string]int, chance *rand.Rand) []fault {
	var rounds [][]fault // the n-th of every kind
	for _, s := range scenes {
		for _, call := range calls() {
			for _, errno := range append(strings.Fields(errnos[call]+" "+lasting[call]), kill) {
				var kind []fault
				for when := 1; when <= most[s.name][call]; when++ {
					for _, profile := range []string{"strict", "window"} {
						kind = append(kind, fault{s, profile, call, errno, when})
					}
				}
				chance.Shuffle(len(kind), func(i, j int) { kind[i], kind[j] = kind[j], kind[i] })
				for n, f := range kind {
					if n == len(rounds) {
						rounds = append(rounds, nil)
					}
					rounds[n] = append(rounds[n], f)
				}
			}
		}
	}
	for _, r := range rounds {
		chance.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
	}
	return slices.Concat(rounds...)
}

// calls are those that are mistreated.
func calls() []string {
	var names []string
	for name := range errnos {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
