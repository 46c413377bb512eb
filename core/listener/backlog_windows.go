package listener

import (
	"errors"
	"net"
)

func setBacklog(net.Listener, int) error {
	return errors.New("it cannot be changed on Windows")
}
