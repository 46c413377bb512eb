package session

import "testing"

// What a publisher may have been told for is asked of the disk: among profiles only
// that of a session that is to end, which may stand for a message without room.
func TestEndIsPromised(t *testing.T) {
	for _, d := range []Durability{DurabilitySync, DurabilityInterval} {
		log := NewLog(0)
		s := New("c", Limits{})
		s.Keep(log, d)
		s.Describe(&Profile{ClientID: "c", Expiry: 60})
		s.Describe(&Profile{ClientID: "c", Expiry: 0})
		changes, _ := log.Take(nil)
		var synced []bool
		for _, c := range changes {
			if c.Kind == ChangeProfile {
				synced = append(synced, c.Sync)
			}
		}
		if n := len(synced); n < 2 || synced[n-2] || synced[n-1] != (d == DurabilitySync) {
			t.Errorf("durability %v: %v", d, synced)
		}
	}
}
