package pluginhost

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// tell runs one frame through a table and returns what the plugin is told.
func tell(t interface{ Fatal(...any) }, table *clientTable, clients ...*hook.Client) *streamRequest {
	table.begin()
	for _, c := range clients {
		table.use(c)
	}
	b := table.append(nil)
	q := new(streamRequest)
	if err := proto.Unmarshal(b, q); err != nil {
		t.Fatal(err)
	}
	return q
}

func TestClientTableTellsOnce(t *testing.T) {
	table := newClientTable(10, 1<<20)
	a, b := client(1), client(2)
	if q := tell(t, table, a, b, a); len(q.Clients) != 2 {
		t.Errorf("told of %v", q.Clients)
	}
	if q := tell(t, table, b, a); len(q.Clients) != 0 || len(q.Forget) != 0 {
		t.Errorf("told again: %v", q)
	}
	changed := *a
	changed.Items = map[string][]byte{"role": []byte("admin")}
	q := tell(t, table, &changed)
	if len(q.Clients) != 1 || string(q.Clients[0].Items["role"]) != "admin" || len(q.Forget) != 0 {
		t.Errorf("the client has changed, told %v", q)
	}
}

func TestClientTableForgets(t *testing.T) {
	table := newClientTable(2, 1<<20)
	a, b, c := client(1), client(2), client(3)
	tell(t, table, a, b)
	tell(t, table, a) // b is now the oldest
	if q := tell(t, table, c); !slices.Equal(q.Forget, []uint64{2}) || len(q.Clients) != 1 {
		t.Errorf("%v", q)
	}
	if q := tell(t, table, b); !slices.Equal(q.Forget, []uint64{1}) || len(q.Clients) != 1 {
		t.Errorf("%v", q)
	}
	// A frame's own clients stay, however many.
	if q := tell(t, table, a, b, c); len(q.Clients) != 2 || len(q.Forget) != 0 {
		t.Errorf("%v", q)
	}
}

func TestClientTableBoundsBytes(t *testing.T) {
	table := newClientTable(100, 1000)
	for i := range 20 {
		c := client(uint64(i))
		c.Items = map[string][]byte{"large": make([]byte, 300)}
		tell(t, table, c)
	}
	if len(table.known) > 3 || table.bytes > 1000 {
		t.Errorf("%d clients with %d bytes", len(table.known), table.bytes)
	}
}

// TestClientTableModel: a plugin that does as it is told knows every client that
// a frame names, and never many more than the bound.
func TestClientTableModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 4
		table := newClientTable(bound, 1<<20)
		var all []*hook.Client
		for i := range 8 {
			all = append(all, client(uint64(i+1)))
		}
		known := make(map[uint64]*pluginv1.ClientContext)
		for range rapid.IntRange(1, 40).Draw(t, "frames") {
			var clients []*hook.Client
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, 7), 0, 6).Draw(t, "clients") {
				if rapid.IntRange(0, 9).Draw(t, "changes") == 0 {
					changed := *all[i]
					changed.Username += "x"
					all[i] = &changed
				}
				clients = append(clients, all[i])
			}
			q := tell(t, table, clients...)
			// Whether it forgets before or after it reads must make no difference.
			for _, c := range q.Clients {
				if slices.Contains(q.Forget, c.ConnectionId) {
					t.Fatalf("%d is told and to be forgotten", c.ConnectionId)
				}
				known[c.ConnectionId] = c
			}
			for _, id := range q.Forget {
				if known[id] == nil {
					t.Fatalf("%d was not known", id)
				}
				delete(known, id)
			}
			if len(clients) > 0 {
				last := clients[len(clients)-1]
				if k := known[last.ConnectionID]; k == nil || k.Username != last.Username {
					t.Fatalf("%d is not known as it is", last.ConnectionID)
				}
			}
			for _, c := range clients {
				if known[c.ConnectionID] == nil {
					t.Fatalf("%d is not known", c.ConnectionID)
				}
			}
			if len(known) != len(table.known) || len(known) > bound+6 {
				t.Fatalf("%d known, the table has %d", len(known), len(table.known))
			}
		}
	})
}
