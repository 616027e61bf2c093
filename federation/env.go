package federation

import (
	"strings"

	"github.com/evercred/evercred"
)

// The variables that set federation up (INTEROP §6).
const (
	VarIdentityTokenFile = "ANTHROPIC_IDENTITY_TOKEN_FILE"
	VarIdentityToken     = "ANTHROPIC_IDENTITY_TOKEN"
	VarRuleID            = "ANTHROPIC_FEDERATION_RULE_ID"
	VarOrganizationID    = "ANTHROPIC_ORGANIZATION_ID"
	VarServiceAccountID  = "ANTHROPIC_SERVICE_ACCOUNT_ID"
	VarWorkspaceID       = "ANTHROPIC_WORKSPACE_ID"
)

// FromEnv is the federation that the variables set up. lookup is os.LookupEnv or
// its like; beside it nothing is read yet. An empty variable counts as not set.
//
// ErrNotFound: none is, so that a Chain goes on; the ids of an organisation or a
// workspace alone may be meant for something else. ErrConfig with ReasonVariable:
// federation is half set up, or an id is none; Error.Where is the variable.
func FromEnv(lookup func(string) (string, bool)) (Config, error) {
	value := func(name string) string { v, _ := lookup(name); return v }
	cfg := Config{
		Identity:         IdentityFromEnv(lookup),
		RuleID:           value(VarRuleID),
		OrganizationID:   value(VarOrganizationID),
		ServiceAccountID: value(VarServiceAccountID),
		WorkspaceID:      value(VarWorkspaceID),
	}
	switch {
	case cfg.Identity == nil && cfg.RuleID == "" && cfg.ServiceAccountID == "":
		return Config{}, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "the environment sets no federation up"}
	case cfg.Identity == nil:
		return Config{}, variable(VarIdentityTokenFile, "federation is half set up: this variable or "+VarIdentityToken+" is missing")
	case cfg.RuleID == "":
		return Config{}, variable(VarRuleID, "federation is half set up: the variable is missing")
	case cfg.OrganizationID == "":
		return Config{}, variable(VarOrganizationID, "federation is half set up: the variable is missing")
	}
	for _, name := range []string{VarRuleID, VarOrganizationID, VarServiceAccountID, VarWorkspaceID} {
		if strings.ContainsFunc(value(name), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return Config{}, variable(name, "the variable holds white space or characters that no id has")
		}
	}
	return cfg, nil
}

// IdentityFromEnv is the identity token that the variables name, the file first;
// nil: neither is set.
func IdentityFromEnv(lookup func(string) (string, bool)) Identity {
	if path, _ := lookup(VarIdentityTokenFile); path != "" {
		return IdentityFile(path)
	}
	if text, _ := lookup(VarIdentityToken); text != "" {
		return IdentityVariable(VarIdentityToken, lookup)
	}
	return nil
}

func variable(name, what string) error {
	return &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonVariable, What: what, Where: name}
}
