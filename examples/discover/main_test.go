package main

import (
	"strings"
	"testing"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/examples/internal/machine"
)

func TestMain(m *testing.M) { credtest.Main(m) }

func TestList(t *testing.T) {
	var out strings.Builder
	list(&out, machine.Options(t, "ANTHROPIC_API_KEY="+machine.Key, "ANTHROPIC_FEDERATION_RULE_ID=rule"))
	if got := out.String(); !strings.Contains(got, "env:ANTHROPIC_API_KEY: ANTHROPIC_API_KEY") || !strings.Contains(got, "federation: federation is half set up") || strings.Contains(got, machine.Key) {
		t.Errorf("%q", got)
	}
}
