//go:build !unix

package keychain

import "syscall"

// apart: there is no keychain here, and so no program to keep apart.
func apart() *syscall.SysProcAttr { return nil }
