package pluginapi

import (
	"time"

	"google.golang.org/grpc"
)

// lastAnswers is how long answers that are on their way have to leave.
const lastAnswers = time.Second

// endGracefully ends a server when the plugin has been stopped: the answers to
// Stop and to calls that were running still leave, but nobody can hold it up.
func endGracefully(g *grpc.Server) {
	force := time.AfterFunc(lastAnswers, g.Stop)
	defer force.Stop()
	g.GracefulStop()
}
