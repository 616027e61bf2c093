package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// checkVersion refuses a ledger of a newer version (F11); an absent one is fine.
func (l *Ledger) checkVersion() error {
	_, err := l.version()
	return err
}

// version is what VERSION says; 0: it says nothing, since making it was interrupted.
func (l *Ledger) version() (int, error) {
	path := filepath.Join(l.root, versionName)
	b, err := l.read(path, 64)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s: %w", path, ErrPlanted)
	}
	if n > FormatVersion {
		return n, &NewerError{Have: n, Know: FormatVersion, Path: path}
	}
	return n, nil
}
