//go:build unix

package keychain

import "syscall"

// apart keeps the interrupt of a terminal away from the program: a save that
// was begun is finished.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
