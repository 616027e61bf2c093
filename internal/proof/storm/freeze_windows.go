package storm

import "syscall"

// freezing and thawing stand for signals that Windows does not have: sending
// them fails, and the storm is for Linux. It is to compile here all the same.
const freezing, thawing = syscall.Signal(-1), syscall.Signal(-1)
