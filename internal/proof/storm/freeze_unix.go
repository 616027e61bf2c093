//go:build unix

package storm

import "syscall"

// freezing and thawing are the signals that stop a process and let it go on.
const freezing, thawing = syscall.SIGSTOP, syscall.SIGCONT
