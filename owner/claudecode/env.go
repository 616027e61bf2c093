package claudecode

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evercred/evercred"
)

// The variables that hold a token themselves (INTEROP §6), and the one that says
// how long the key of an apiKeyHelper is used.
const (
	VarAuthToken  = "ANTHROPIC_AUTH_TOKEN"
	VarAPIKey     = "ANTHROPIC_API_KEY"
	VarOAuthToken = "CLAUDE_CODE_OAUTH_TOKEN"
	VarHelperTTL  = "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"
)

// EnvToken lends the token that one of VarAuthToken (Bearer, no header of ours
// beside it), VarAPIKey (X-Api-Key) and VarOAuthToken (Bearer and the beta
// header; made by `claude setup-token`, for a year) holds. It is never renewed or
// saved. lookup is os.LookupEnv or its like.
//
// ErrNotFound: the variable is not set, or empty, so that a Chain goes on.
// ErrConfig with ReasonVariable: what it holds cannot stand in a header, or it is
// another variable; Error.Where is the variable, and its value is not shown.
func EnvToken(variable string, lookup func(string) (string, bool)) (evercred.Provider, error) {
	var opts evercred.TokenOptions
	switch variable {
	case VarAuthToken:
	case VarAPIKey:
		opts.Kind = evercred.APIKey
	case VarOAuthToken:
		opts.Companions = http.Header{"Anthropic-Beta": {OAuthBeta}}
	default:
		return nil, badVariable(variable, "no such variable holds a token")
	}
	value, _ := lookup(variable)
	if value == "" {
		return nil, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "the variable is not set", Where: variable}
	}
	t, err := evercred.NewToken(value, &opts)
	if err != nil {
		return nil, badVariable(variable, unfit(value))
	}
	return evercred.Static(t), nil
}

// unfit says why a value cannot stand in a header, without any of it. Nothing is
// trimmed: the owner would send it as it is, and fail in another way.
func unfit(value string) string {
	switch {
	case strings.TrimSpace(value) == "":
		return "the variable holds nothing but white space"
	case strings.TrimSpace(value) != value:
		return "the variable begins or ends with white space or a line break"
	case strings.ContainsAny(value, "\r\n"):
		return "the variable holds several lines"
	}
	return "the variable holds white space, control or other characters that cannot stand in a header"
}

// HelperTTL is how long the key of an apiKeyHelper is used, by VarHelperTTL;
// zero: the variable is not set, or empty. An owner's 0 means that the command
// runs each time: it becomes the shortest time there is. ErrConfig with
// ReasonVariable: it is no number of milliseconds.
func HelperTTL(lookup func(string) (string, bool)) (time.Duration, error) {
	text, _ := lookup(VarHelperTTL)
	if text == "" {
		return 0, nil
	}
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil || ms > math.MaxInt64/uint64(time.Millisecond) {
		return 0, badVariable(VarHelperTTL, "the variable is not a number of milliseconds")
	}
	return max(time.Duration(ms)*time.Millisecond, 1), nil
}

func badVariable(name, what string) error {
	return &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonVariable, What: what, Where: name}
}
