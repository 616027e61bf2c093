package anthropic

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
)

func TestCodecConformance(t *testing.T) {
	names, err := filepath.Glob("testdata/credentials/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no fixtures", err)
	}
	var samples [][]byte
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, doc)
	}
	credtest.TestCodec(t, Codec{ClientID: "client"}, samples...)
}

// The contract of evercred.Store, of the store that Open makes, while other
// profiles live in the directory (FAILURES F12).
func TestStoreConformance(t *testing.T) {
	credtest.TestStore(t, func(t *testing.T) credtest.Place {
		dir := t.TempDir()
		p := lay(t, dir, "work", `{"authentication":{"type":"user_oauth","client_id":"c"}}`)
		neighbour := filepath.Join(filepath.Dir(p.Credentials), "default.json")
		write(t, neighbour, []byte(`{"access_token":"neighbour"}`))
		t.Cleanup(func() {
			if doc, err := os.ReadFile(neighbour); err != nil || !bytes.Equal(doc, []byte(`{"access_token":"neighbour"}`)) {
				t.Errorf("the neighbour: %s %v", doc, err)
			}
		})
		return credtest.Place{
			Open: func() evercred.Store { return p.store() },
			Write: func(data []byte) {
				if data == nil {
					os.Remove(p.Credentials)
					return
				}
				// As the SDKs do: a whole new file takes the old one's place.
				temp := p.Credentials + ".tmp"
				if err := os.WriteFile(temp, data, 0o600); err != nil {
					t.Error(err)
				}
				if err := os.Rename(temp, p.Credentials); err != nil {
					t.Error(err)
				}
			},
			Read: func() []byte {
				b, err := os.ReadFile(p.Credentials)
				if err != nil {
					return nil
				}
				return b
			},
			Document: func(n int) []byte {
				return fmt.Appendf(nil, `{"type":"oauth_token","access_token":"sk-ant-oat01-test-store-suite","expires_at":%d}`, n)
			},
		}
	})
}
