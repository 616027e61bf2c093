package federation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
)

// Identity gives the identity token as it is now. Its errors must not match
// ErrNotFound: federation was asked for, and nothing else is to take its place.
type Identity func() (evercred.Secret, error)

// maxIdentity is how long an identity token may be, as in Anthropic's own SDK;
// real ones have 1 to 4 KiB.
const maxIdentity = 16 << 10

// IdentityFile reads the identity token from a file, through links: a mounted
// one is rotated by moving a link. White space around the token does not count.
// ErrUnsafe with ReasonIdentity: the file is missing, unreadable, too large, or
// holds no token.
func IdentityFile(path string) Identity {
	const file = "the identity token file"
	store := filestore.New(path, &filestore.Options{MaxSize: maxIdentity})
	return func() (evercred.Secret, error) {
		doc, err := store.Load(context.Background())
		if err != nil {
			return evercred.Secret{}, identityError(evercred.ErrUnsafe, file, path, fileTrouble(err))
		}
		return identity(string(doc.Bytes()), evercred.ErrUnsafe, file, path)
	}
}

// IdentityVariable reads the identity token from a variable. lookup is
// os.LookupEnv or its like. ErrConfig with ReasonIdentity: it is not set, or
// holds no token.
func IdentityVariable(name string, lookup func(string) (string, bool)) Identity {
	return func() (evercred.Secret, error) {
		text, _ := lookup(name)
		return identity(text, evercred.ErrConfig, "the variable", name)
	}
}

// identity checks a text. What is wrong with it is said without any of it.
func identity(text string, kind error, place, where string) (evercred.Secret, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return evercred.Secret{}, identityError(kind, place, where, "is empty: whatever issues the identity token has to write one there")
	case len(text) > maxIdentity:
		return evercred.Secret{}, identityError(kind, place, where, fmt.Sprintf("holds more than %d bytes: it must hold the identity token alone", maxIdentity))
	case strings.ContainsAny(text, "\r\n"):
		return evercred.Secret{}, identityError(kind, place, where, "holds several lines: it must hold the identity token alone")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return evercred.Secret{}, identityError(kind, place, where, "holds spaces, control or other characters that no identity token has: it must hold the identity token alone")
	}
	return evercred.NewSecret(text), nil
}

func identityError(kind error, place, where, trouble string) error {
	return &evercred.Error{Kind: kind, Reason: evercred.ReasonIdentity, What: place + " " + trouble, Where: where}
}

// fileTrouble says why a file could not be read. The store's error is not handed
// on, because one of its kinds would make a Chain go on to another account.
func fileTrouble(err error) string {
	var e *evercred.Error
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		return "is not there: whatever issues the identity token has to write it, or the variable names another place"
	case evercred.ReasonOf(err) == evercred.ReasonTooLarge:
		return fmt.Sprintf("holds more than %d bytes: it must hold the identity token alone", maxIdentity)
	case evercred.ReasonOf(err) == evercred.ReasonPermissions:
		return "may not be read by this user: give it the right to"
	case errors.As(err, &e) && e.Err != nil:
		return "cannot be read: " + e.Err.Error()
	}
	return "cannot be read"
}
