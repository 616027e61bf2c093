//go:build !linux

package credtest

import "errors"

// watch is not to be had here without privileges.
func watch([]string) (opened func() ([]string, error)) {
	return func() ([]string, error) { return nil, errors.ErrUnsupported }
}
