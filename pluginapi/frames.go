package pluginapi

import (
	"errors"
	"io"
)

// eachFrame calls handle with one frame after the other until the other side
// ends the stream, handle fails, or stopping is closed. A frame that has been
// received is handled.
func eachFrame[F any](stopping <-chan struct{}, recv func() (F, error), handle func(F) error) error {
	type received struct {
		frame F
		err   error
	}
	frames := make(chan received)
	done := make(chan struct{})
	defer close(done)
	// A Recv cannot be called off by anything but the end of the stream's
	// handler, so it gets a goroutine of its own, which ends with that.
	go func() {
		for {
			f, err := recv()
			select {
			case frames <- received{f, err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case r := <-frames:
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			if r.err != nil {
				return r.err
			}
			if err := handle(r.frame); err != nil {
				return err
			}
		case <-stopping:
			return nil
		}
	}
}
