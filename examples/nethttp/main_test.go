package main

import (
	"strings"
	"testing"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/examples/internal/machine"
)

func TestMain(m *testing.M) { credtest.Main(m) }

func TestModels(t *testing.T) {
	url, host := machine.API(t, `{"data":[]}`)
	var out strings.Builder
	if err := models(t.Context(), &out, machine.Options(t, "ANTHROPIC_API_KEY="+machine.Key), url, host); err != nil || out.String() != `{"data":[]}` {
		t.Errorf("%q, %v", &out, err)
	}
	// The key goes to the host that is named, and to no other.
	if err := models(t.Context(), &out, machine.Options(t, "ANTHROPIC_API_KEY="+machine.Key), url, "api.example"); err == nil {
		t.Error("another host was sent the key")
	}
}
