package federation

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/internal/seam"
)

// refusedFor is how long an identity token that was refused is not sent again.
// Another one, which a rotation brings, is sent at once.
const refusedFor = time.Minute

// exchange is a Provider that asks the endpoint at each call. It is called once
// at a time.
type exchange struct {
	cfg    Config
	client *grant.Client
	seams  seam.Seams

	refused struct { // the last assertion that was
		fingerprint string
		err         *evercred.Error // with the time until which it counts
	}
}

func (x *exchange) Token(ctx context.Context) (evercred.Token, error) {
	assertion, err := x.cfg.Identity()
	if err != nil {
		return evercred.Token{}, err
	}
	now := x.seams.Clock.Now()
	if e := x.refused.err; e != nil && assertion.Fingerprint() == x.refused.fingerprint && now.Before(e.RetryAt) && e.RetryAt.Sub(now) <= refusedFor {
		return evercred.Token{}, e
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(x.cfg.Timeout, 30*time.Second))
	defer cancel()
	out, err := x.client.Post(ctx, x.params(assertion), assertion)
	if err != nil {
		return evercred.Token{}, err
	}
	if out.Verdict != evercred.Granted {
		return evercred.Token{}, x.failure(out, assertion)
	}
	return x.token(out)
}

// params are those of INTEROP §6.
func (x *exchange) params(assertion evercred.Secret) map[string]string {
	params := map[string]string{
		"grant_type":         grantType,
		"assertion":          assertion.Reveal(),
		"federation_rule_id": x.cfg.RuleID,
		"organization_id":    x.cfg.OrganizationID,
	}
	for name, id := range map[string]string{"service_account_id": x.cfg.ServiceAccountID, "workspace_id": x.cfg.WorkspaceID} {
		if id != "" {
			params[name] = id
		}
	}
	return params
}

// token makes one of a granting answer. A lifetime that the endpoint did not say
// is taken for an hour, as for a login.
func (x *exchange) token(out evercred.Outcome) (evercred.Token, error) {
	end := out.Credential.Expires
	if end.IsZero() {
		end = x.seams.Clock.Now().Add(x.seams.Times.LifetimeUnknown)
	}
	return evercred.NewToken(out.Credential.Access.Reveal(), &evercred.TokenOptions{
		Expires:    end,
		Companions: http.Header{"Anthropic-Beta": {oauthBeta}},
	})
}

// failure says what an answer without a token means. Nothing was spent, whatever
// it was, so that a later exchange loses nothing.
func (x *exchange) failure(out evercred.Outcome, assertion evercred.Secret) error {
	now, times := x.seams.Clock.Now(), x.seams.Times
	e := &evercred.Error{Kind: evercred.ErrUnavailable, Where: x.client.Host(), Err: out.Err}
	switch {
	case out.Verdict == evercred.Refused, out.Verdict == evercred.Foreign && out.Err.Status == http.StatusUnauthorized && out.Err.Code == "":
		// A 401 in the API's own form says the same as invalid_grant: no rule
		// matches (so Anthropic's own SDK reads it).
		e.Kind, e.Reason, e.What = evercred.ErrLoginRequired, evercred.ReasonAssertion, "the token endpoint refuses the identity token"
		e.RetryAt = now.Add(refusedFor)
		x.refused.fingerprint, x.refused.err = assertion.Fingerprint(), e
	case out.Verdict == evercred.Limited:
		e.Reason, e.What = evercred.ReasonRateLimited, "the token endpoint asks for a pause"
		e.RetryAt = now.Add(times.CooldownLimitedMin)
		if wish := out.Err.RetryAfter; wish.After(e.RetryAt) {
			e.RetryAt = wish
		}
	case out.Err.Code != "":
		e.Reason, e.What = evercred.ReasonEndpointError, "the token endpoint refused the exchange"
		e.RetryAt = out.Err.RetryAfter
	case out.Verdict == evercred.Foreign:
		e.Reason, e.What = evercred.ReasonNotEndpoint, "what answered is not the token endpoint, or refused the exchange for a reason of its own"
	default:
		e.Reason, e.What = evercred.ReasonUnknownOutcome, "the exchange was sent and no usable answer came"
		e.RetryAt = out.Err.RetryAfter
	}
	return e
}
