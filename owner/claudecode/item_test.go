package claudecode

import "testing"

// The names of the keychain item (INTEROP §1). The digits are those of shasum.
func TestService(t *testing.T) {
	for raw, want := range map[string]string{
		"":                "Claude Code-credentials",
		"/tmp/x":          "Claude Code-credentials-2e56aa36",
		"/tmp/x/":         "Claude Code-credentials-87b47fa9",
		"/tmp/caf\u00e9":  "Claude Code-credentials-0873cca0",
		"/tmp/cafe\u0301": "Claude Code-credentials-0873cca0", // another spelling of the same
	} {
		if got := (Location{Raw: raw}).Service(); got != want {
			t.Errorf("%q: %s, want %s", raw, got, want)
		}
	}
}

func TestAccount(t *testing.T) {
	for _, c := range []struct{ user, system, want string }{
		{"jo", "other", "jo"},
		{"jo.do-e_1", "", "jo.do-e_1"},
		{"", "system", "system"},
		{"", "", "claude-code-user"},
		{"jo doe", "jo", "claude-code-user"},
		{"jö", "jo", "claude-code-user"},
		{"jo\n", "jo", "claude-code-user"},
		{`x" -s y`, "jo", "claude-code-user"},
	} {
		lookup := func(name string) (string, bool) { return c.user, name == "USER" && c.user != "" }
		if got := account(lookup, func() string { return c.system }); got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.user, c.system, got, c.want)
		}
	}
	if systemUser() == "" {
		t.Log("this system does not know its user")
	}
}
