package federation_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/federation"
)

// bad are texts that are no identity token, and what the error says.
var bad = map[string]string{
	"":                              "is empty",
	" \r\n\t":                       "is empty",
	"secret-one\nsecret-two":        "several lines",
	"secret one":                    "spaces",
	"secret\x00":                    "control",
	"\xef\xbb\xbfsecret":            "other characters",
	"s\x00e\x00c\x00r\x00":          "control",
	strings.Repeat("secret", 20000): "more than 16384 bytes",
}

func TestIdentityFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "identity")
	check := func(name, want string) {
		t.Helper()
		_, err := federation.IdentityFile(path)()
		var e *evercred.Error
		if !errors.As(err, &e) || e.Kind != evercred.ErrUnsafe || e.Reason != evercred.ReasonIdentity || errors.Is(err, evercred.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
			return
		}
		if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, path) || strings.Contains(text, "secret") {
			t.Errorf("%s: %q, want %q", name, text, want)
		}
	}
	check("missing", "is not there")
	for text, want := range bad {
		write(t, path, text)
		check(want, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	check("directory", "it is a directory")
}

func TestIdentityVariable(t *testing.T) {
	for text, want := range bad {
		_, err := federation.IdentityVariable("TEST_ID", func(string) (string, bool) { return text, true })()
		if !errors.Is(err, evercred.ErrConfig) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "TEST_ID") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// FuzzIdentity: what is taken can stand in a header, and an error shows nothing.
func FuzzIdentity(f *testing.F) {
	for text := range bad {
		f.Add(text, "")
	}
	f.Add(" "+identity, "\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + "s3cr3t" + after
		got, err := federation.IdentityVariable("V", func(string) (string, bool) { return text, true })()
		if err != nil {
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%q: the error shows it: %v", text, err)
			}
			return
		}
		if _, err := evercred.NewToken(got.Reveal(), nil); err != nil || got.Reveal() != strings.TrimSpace(text) {
			t.Errorf("%q was taken: %v", text, err)
		}
	})
}

func TestFromEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity")
	write(t, file, "from-file")
	const rule, org = federation.VarRuleID, federation.VarOrganizationID
	tests := []struct {
		name     string
		env      map[string]string
		kind     error // nil: fine
		where    string
		identity string
	}{
		{"nothing", map[string]string{}, evercred.ErrNotFound, "", ""},
		{"empty", map[string]string{rule: "", federation.VarIdentityToken: ""}, evercred.ErrNotFound, "", ""},
		{"ids that may be meant otherwise", map[string]string{org: "o", federation.VarWorkspaceID: "w"}, evercred.ErrNotFound, "", ""},
		{"no identity", map[string]string{rule: "r", org: "o"}, evercred.ErrConfig, federation.VarIdentityTokenFile, ""},
		{"service account alone", map[string]string{federation.VarServiceAccountID: "s"}, evercred.ErrConfig, federation.VarIdentityTokenFile, ""},
		{"no rule", map[string]string{federation.VarIdentityToken: "secret", org: "o"}, evercred.ErrConfig, rule, ""},
		{"no organisation", map[string]string{federation.VarIdentityToken: "secret", rule: "r"}, evercred.ErrConfig, org, ""},
		{"an id with a line break", map[string]string{federation.VarIdentityToken: "secret", rule: "r\n", org: "o"}, evercred.ErrConfig, rule, ""},
		{"variable", map[string]string{federation.VarIdentityToken: "secret", rule: "r", org: "o"}, nil, "", "secret"},
		{"the file comes first", map[string]string{federation.VarIdentityTokenFile: file, federation.VarIdentityToken: "secret", rule: "r", org: "o", federation.VarServiceAccountID: "s", federation.VarWorkspaceID: "w"}, nil, "", "from-file"},
		{"a file that is not there yet", map[string]string{federation.VarIdentityTokenFile: file + "2", rule: "r", org: "o"}, nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := federation.FromEnv(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
			if tt.kind != nil {
				var e *evercred.Error
				if !errors.As(err, &e) || e.Kind != tt.kind || e.Where != tt.where || strings.Contains(err.Error(), "secret") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if cfg.RuleID != "r" || cfg.OrganizationID != "o" || cfg.ServiceAccountID != tt.env[federation.VarServiceAccountID] || cfg.WorkspaceID != tt.env[federation.VarWorkspaceID] {
				t.Errorf("%q %q %q %q", cfg.RuleID, cfg.OrganizationID, cfg.ServiceAccountID, cfg.WorkspaceID)
			}
			if got, _ := cfg.Identity(); got.Reveal() != tt.identity {
				t.Errorf("identity %q", got.Reveal())
			}
		})
	}
}
