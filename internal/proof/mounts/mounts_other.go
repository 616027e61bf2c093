//go:build !linux

package mounts

import (
	"errors"

	"github.com/evercred/evercred/internal/proof/suite"
)

// run is never asked for: the suite needs Linux.
func run(*suite.Run) error { return errors.ErrUnsupported }
