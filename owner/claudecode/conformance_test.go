package claudecode_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/owner/claudecode"
)

func TestCodecConformance(t *testing.T) {
	names, err := filepath.Glob("testdata/*.json")
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
	credtest.TestCodec(t, claudecode.Codec{}, samples...)
}
