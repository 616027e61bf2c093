package filestore

import (
	"context"

	"github.com/evercred/evercred/internal/durable"
)

// Settle makes the document durable as it is; see evercred.Settler.
func (h *held) Settle(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return unsavable(h.place.target, durable.Settle(h.store.disk, h.place.target))
}
