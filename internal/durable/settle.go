package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evercred/evercred/internal/fsys"
)

// Settle makes the file at path durable as it is, content and name, whoever
// wrote it.
func Settle(disk fsys.FS, path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make %s durable: %w", path, err)
		}
	}()
	f, err := disk.OpenFile(path, os.O_RDWR, 0) // Windows flushes only what is open for writing
	if errors.Is(err, os.ErrPermission) {
		f, err = disk.OpenFile(path, os.O_RDONLY, 0)
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	f.Close()
	if err != nil {
		return err
	}
	d, err := disk.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}
