package pluginhost

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// What go-plugin has to find in a plugin's handshake line.
const (
	coreProtocol   = 1 // of go-plugin
	pluginProtocol = 1 // of Gatehouse: how Init is reached
	wireProtocol   = "grpc"
)

// handshakeLine is "1|1|unix|/path|grpc|..." (see go-plugin's guide for plugins
// in other languages).
var handshakeLine = regexp.MustCompile(`^\s*(\d+)\|(\d+)\|(unix|tcp)\|([^|]+)(?:\|([a-z]*))?(?:\|.*)?\s*$`)

// handshake stands between a plugin's standard output and go-plugin, which
// takes the first line for the handshake and fails if it is anything else. It
// lets only that line through; the rest is noise. go-plugin reads it to its
// end.
type handshake struct {
	noise *lineWriter
	pipe  *io.PipeReader
	in    *io.PipeWriter

	mu    sync.Mutex // guards the fields below
	found bool
	hello hello
	first []string // the first lines of noise before it
}

// hello is what a handshake line says.
type hello struct {
	core, version    int
	network, address string
	protocol         string
}

func newHandshake(noise *lineWriter) *handshake {
	h := &handshake{noise: noise}
	h.pipe, h.in = io.Pipe()
	return h
}

// scan reads standard output to its end.
func (h *handshake) scan(stdout io.Reader) {
	lines := &lineWriter{emit: h.line}
	_, _ = io.Copy(lines, stdout)
	lines.flush()
	h.end()
}

// end gives go-plugin the end of the stream.
func (h *handshake) end() { _ = h.in.Close() }

func (h *handshake) line(line []byte, cut int) {
	if cut == 0 && h.accept(line) {
		// go-plugin reads until the end; if it does not any more, this fails.
		_, _ = h.in.Write(append(slices.Clip(line), '\n'))
		h.end()
		return
	}
	h.noise.emit(line, cut)
}

// accept reports whether line is the handshake.
func (h *handshake) accept(line []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.found {
		return false
	}
	m := handshakeLine.FindSubmatch(line)
	if m == nil {
		if len(h.first) < 3 {
			h.first = append(h.first, clean(string(line[:min(len(line), 200)]), 200))
		}
		return false
	}
	h.found = true
	h.hello = hello{
		core: number(m[1]), version: number(m[2]),
		network: string(m[3]), address: string(m[4]), protocol: string(m[5]),
	}
	return true
}

func number(digits []byte) int {
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return -1
	}
	return n
}

// seen returns the handshake if there was one, and what came before it.
func (h *handshake) seen() (hello hello, found bool, noise []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hello, h.found, h.first
}

// problem says what a handshake asks for that this broker does not have, and
// what to do; "" if all is well.
func (h hello) problem(network string) (what, do string) {
	switch {
	case h.core != coreProtocol:
		return fmt.Sprintf("its handshake is of go-plugin's core protocol %d, and this broker speaks %d", h.core, coreProtocol),
			"build the plugin with go-plugin 1.x"
	case h.version != pluginProtocol:
		return fmt.Sprintf("it speaks plugin protocol version %d, and this broker speaks %d", h.version, pluginProtocol),
			"install a version of the plugin that was built for this broker"
	case h.protocol != wireProtocol:
		return fmt.Sprintf("it serves %q instead of gRPC", h.protocol),
			"build the plugin with a gRPC server"
	case h.network != network:
		return fmt.Sprintf("it listens on %s:%s instead of a %s socket", h.network, h.address, network),
			"let the plugin listen in the directory that PLUGIN_UNIX_SOCKET_DIR names"
	}
	return "", ""
}
