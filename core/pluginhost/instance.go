package pluginhost

import (
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// instance is one running plugin after a good Init. A plugin that was started
// again is another instance.
type instance struct {
	id   uint64 // grows with every instance of the host, never 0
	conn *grpc.ClientConn
	init *pluginv1.InitResponse

	// done is closed when the process is gone, or is about to be ended by
	// force: no answer comes any more.
	done chan struct{}

	inHand callsInHand
	trial  trial

	// wishes are taken by the supervisor while the instance is in charge.
	wishes chan wish

	end   sync.Once
	cause error // why it ended; written before done is closed
}

// newInstance makes an instance that lives until [instance.fail]. Tests make
// one from any connection.
func newInstance(id uint64, conn *grpc.ClientConn, init *pluginv1.InitResponse) *instance {
	return &instance{id: id, conn: conn, init: init, done: make(chan struct{}), wishes: make(chan wish)}
}

// fail ends the instance; only the first call counts. The supervisor calls it
// when the process is gone. A facade calls it for a plugin whose answers can't
// be trusted any more: the supervisor then ends the process and starts another.
func (in *instance) fail(cause error) {
	in.end.Do(func() {
		in.cause = cause
		close(in.done)
	})
}

// err is why the instance ended, or nil while it runs.
func (in *instance) err() error {
	select {
	case <-in.done:
		return in.cause
	default:
		return nil
	}
}
