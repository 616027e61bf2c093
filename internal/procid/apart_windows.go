package procid

import "syscall"

// Apart starts a process in a group of its own: the interrupt of a console that
// is meant for us must not end it in the middle of a save.
func Apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
