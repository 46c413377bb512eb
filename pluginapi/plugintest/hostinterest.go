package plugintest

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// UpdateInterest keeps what the plugin wants to be asked from now on.
func (h *Host) UpdateInterest(_ context.Context, in *pluginv1.UpdateInterestRequest) (*pluginv1.UpdateInterestResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interest = []pluginapi.Hook{}
	for _, i := range in.GetInterest() {
		h.interest = append(h.interest, hookNames[i.GetHook()])
	}
	return &pluginv1.UpdateInterestResponse{}, nil
}

// Interest returns the points at which the plugin has said, while it ran, that it
// wants to be asked, in order; nil if it has not.
func (h *Host) Interest() []pluginapi.Hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.interest
}
