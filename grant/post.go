package grant

import (
	"context"

	"github.com/evercred/evercred"
)

// Post performs a grant that spends nothing, such as that of RFC 7523 §2.1:
// params are sent as Send sends those of RFC 6749 §6, and the answer is
// understood as Parse does. Nothing of secret, with which the caller proves who
// it is, is repeated in the Outcome.
//
// ctx bounds the time until the first byte is sent; the answer is awaited for
// 30 s more. An error matches ErrUnavailable or, if no request can be made,
// ErrNotSent.
func (c *Client) Post(ctx context.Context, params map[string]string, secret evercred.Secret) (evercred.Outcome, error) {
	request, err := c.compose(params)
	if err != nil {
		return evercred.Outcome{}, err
	}
	a, err := c.send(ctx, request, unrecorded{})
	if err != nil {
		return evercred.Outcome{}, err
	}
	return c.Parse(a, evercred.Credential{Refresh: secret}), nil
}

// unrecorded is an Exchange of which nothing need survive.
type unrecorded struct{}

func (unrecorded) Ready() error    { return nil }
func (unrecorded) Sending()        {}
func (unrecorded) Received([]byte) {}
