package keychain

import (
	"context"
	"errors"
	"fmt"

	"github.com/evercred/evercred"
)

func unsafeAt(reason evercred.Reason, what string, i Item, cause error) error {
	return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: reason, What: what, Where: i.String(), Err: cause}
}

func conflict(i Item, what string) error {
	return &evercred.Error{Kind: evercred.ErrConflict, Reason: evercred.ReasonConflict, What: what, Where: i.String()}
}

// explain says what the end of a read means. Only one code means that there is
// no item; whatever else is not understood must not pass for that.
func explain(i Item, err error) error {
	switch {
	case errors.Is(err, exitError(exitAbsent)):
		return &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "no such item in the keychain", Where: i.String(), Err: err}
	case errors.Is(err, exitError(exitLocked)):
		return unsafeAt(evercred.ReasonKeychainLocked, "the keychain is locked, or may not ask its user here", i, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return unsafeAt(evercred.ReasonKeychainFailed, "the keychain gave no answer that says whether the login is there", i, err)
}

func tooLarge(i Item, size, most int, argv bool) error {
	what := fmt.Sprintf("the login (%d bytes) is too large for the keychain program's input, which takes %d: it can be renewed by its owner (--refresh owner), or be passed in an argument, which other processes of this user can see (--allow-argv)", size, most)
	if argv {
		what = fmt.Sprintf("the login (%d bytes) is too large even for an argument of the keychain program, which may have %d: let its owner renew it (--refresh owner)", size, most)
	}
	return unsafeAt(evercred.ReasonKeychainSize, what, i, nil)
}
