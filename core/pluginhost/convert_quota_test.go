package pluginhost

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestQuotaFromProto(t *testing.T) {
	for name, c := range map[string]struct {
		give *pluginv1.Quota
		want hook.Quota
		zone string
	}{
		"nothing": {&pluginv1.Quota{}, hook.Quota{Published: true, Delivered: true}, "UTC"},
		"publishes": {
			&pluginv1.Quota{Account: "a", TimeZone: "Local", Actions: []pluginv1.GrantAction{1}, BytesPerDay: proto.Uint64(0)},
			hook.Quota{Account: "a", Published: true, BytesPerDay: new(uint64(0))},
			"Local",
		},
		"deliveries": {
			&pluginv1.Quota{TimeZone: "Asia/Tokyo", Actions: []pluginv1.GrantAction{3}, MessagesPerMonth: proto.Uint64(1)},
			hook.Quota{Delivered: true, MessagesPerMonth: new(uint64(1))},
			"Asia/Tokyo",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := quotaFromProto(c.give)
			if err != nil {
				t.Fatal(err)
			}
			if got.Zone.String() != c.zone {
				t.Errorf("the zone is %v", got.Zone)
			}
			got.Zone = nil
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
