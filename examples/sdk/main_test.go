package main

import (
	"strings"
	"testing"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/examples/internal/machine"
)

func TestMain(m *testing.M) { credtest.Main(m) }

func TestAsk(t *testing.T) {
	url, host := machine.API(t, `{"type":"message","role":"assistant","content":[{"type":"text","text":"Hello."}]}`)
	var out strings.Builder
	if err := ask(t.Context(), &out, machine.Options(t, "ANTHROPIC_API_KEY="+machine.Key), url, host); err != nil || out.String() != "Hello.\n" {
		t.Errorf("%q, %v", &out, err)
	}
	// The key goes to the host that is named, and to no other.
	if err := ask(t.Context(), &out, machine.Options(t, "ANTHROPIC_API_KEY="+machine.Key), url, "api.example"); err == nil {
		t.Error("another host was sent the key")
	}
}
