package claudecode

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

func TestEnvToken(t *testing.T) { // INTEROP §6
	before := http.Header{"Authorization": {"Basic old"}, "X-Api-Key": {"old"}, "Anthropic-Beta": {"files-1"}}
	for variable, want := range map[string]http.Header{
		VarAuthToken:  {"Authorization": {"Bearer sk-test"}, "Anthropic-Beta": {"files-1"}},
		VarAPIKey:     {"X-Api-Key": {"sk-test"}, "Anthropic-Beta": {"files-1"}},
		VarOAuthToken: {"Authorization": {"Bearer sk-test"}, "Anthropic-Beta": {"files-1,oauth-2025-04-20"}},
	} {
		p, err := EnvToken(variable, variables{variable: "sk-test"}.lookup)
		if err != nil {
			t.Errorf("%s: %v", variable, err)
			continue
		}
		if _, ok := p.(evercred.Rejecter); ok {
			t.Errorf("%s: a refusal would make it another token", variable)
		}
		tok, err := p.Token(t.Context())
		h := before.Clone()
		tok.Apply(h)
		if err != nil || !tok.Expires().IsZero() || !maps.EqualFunc(h, want, func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%s: a request would bear %v, %v", variable, h, err)
		}
	}
}

func TestEnvTokenRefuses(t *testing.T) {
	for value, says := range map[string]string{
		" ":               "nothing but white space",
		"sk-secret\n":     "line break",
		" sk-secret":      "white space",
		"sk-secret\r\nx":  "several lines",
		"sk secret":       "white space",
		"sk-secret\x00":   "control",
		"\ufeffsk-secret": "other characters",
		"\x1b[2Jsecret":   "control",
	} {
		for _, variable := range []string{VarAuthToken, VarAPIKey, VarOAuthToken} {
			_, err := EnvToken(variable, variables{variable: value}.lookup)
			var e *evercred.Error
			if !errors.As(err, &e) || e.Kind != evercred.ErrConfig || e.Reason != evercred.ReasonVariable || e.Where != variable || !strings.Contains(e.What, says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s=%q: %v", variable, value, err)
			}
		}
	}
	for _, env := range []variables{{}, {VarAPIKey: ""}, {VarAuthToken: "other"}} {
		if _, err := EnvToken(VarAPIKey, env.lookup); !errors.Is(err, evercred.ErrNotFound) {
			t.Errorf("%v: %v", env, err)
		}
	}
	if _, err := EnvToken("PATH", variables{"PATH": "/bin"}.lookup); !errors.Is(err, evercred.ErrConfig) {
		t.Errorf("another variable: %v", err)
	}
}

func TestHelperTTL(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "0": 1, "1": time.Millisecond, "60000": time.Minute, "9223372036854": 9223372036854 * time.Millisecond} {
		if got, err := HelperTTL(variables{VarHelperTTL: text}.lookup); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if got, err := HelperTTL(variables{}.lookup); err != nil || got != 0 {
		t.Errorf("not set: %v, %v", got, err)
	}
	for _, text := range []string{"-1", "5m", "1.5", " 1", "9223372036855", "99999999999999999999", "0x10"} {
		if _, err := HelperTTL(variables{VarHelperTTL: text}.lookup); !errors.Is(err, evercred.ErrConfig) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
