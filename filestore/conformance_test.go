package filestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/filestore"
)

// The contract of evercred.Store, for a plain file and for a link to one in
// another directory.
func TestConformance(t *testing.T) {
	for _, linked := range []bool{false, true} {
		name := "file"
		if linked {
			name = "link"
		}
		t.Run(name, func(t *testing.T) {
			credtest.TestStore(t, func(t *testing.T) credtest.Place { return place(t, linked) })
		})
	}
}

func place(t *testing.T, linked bool) credtest.Place {
	file := filepath.Join(t.TempDir(), "credentials.json")
	path := file
	if linked {
		path = filepath.Join(t.TempDir(), "link.json")
		if err := os.Symlink(file, path); err != nil {
			t.Skip(err)
		}
	}
	return credtest.Place{
		Open: func() evercred.Store { return filestore.New(path, nil) },
		Write: func(data []byte) {
			if data == nil {
				os.Remove(file)
				return
			}
			// As the owner does: a whole new file takes the old one's place.
			temp := file + ".owner"
			if err := os.WriteFile(temp, data, 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(temp, file); err != nil {
				t.Error(err)
			}
		},
		Read: func() []byte {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil
			}
			return b
		},
	}
}
