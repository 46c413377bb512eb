package clients

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// agent is a process with clients of a library. It takes a command a line and
// prints a line for each answer, for each message, and for the end of each
// connection.
type agent struct {
	in io.WriteCloser

	mu      sync.Mutex // guards the fields below
	clients map[int]*remote
}

// remote is a client in an agent.
type remote struct {
	agent   *agent
	number  int
	got     chan message
	end     chan struct{}
	once    sync.Once // closes end
	answers chan answer
}

// command is what an agent is told.
type command struct {
	Client       int           `json:"client"`
	Do           string        `json:"do"`
	Host         string        `json:"host,omitempty"`
	Port         int           `json:"port,omitempty"`
	URL          string        `json:"url,omitempty"` // in place of both
	Options      *options      `json:"options,omitempty"`
	Subscription *subscription `json:"subscription,omitempty"`
	Message      *message      `json:"message,omitempty"`
	Filter       string        `json:"filter,omitempty"`
}

// answer is what an agent says.
type answer struct {
	Client  int       `json:"client"`
	Done    bool      `json:"done"` // the command is carried out
	Error   string    `json:"error"`
	Code    int       `json:"code"`
	Connack connected `json:"connack"`
	Message *message  `json:"message"`
	Ended   bool      `json:"ended"`
}

func openPython(t *testing.T) dialer {
	t.Helper()
	return openAgent(t, program.Need(t, "python3", "python3-paho-mqtt"), "agent.py")
}

func openJS(t *testing.T) dialer {
	t.Helper()
	return openJSWith(t)
}

// openJSWith starts Node with variables of its environment.
func openJSWith(t *testing.T, env ...string) dialer {
	t.Helper()
	return openAgent(t, program.Need(t, "node", "nodejs"), "agent.js", append(env, "NODE_PATH="+program.NodeModules(t))...)
}

// openAgent starts an agent, which lives as long as the test.
func openAgent(t *testing.T, path, script string, env ...string) dialer {
	t.Helper()
	cmd := exec.Command(path, script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &agent{in: in, clients: make(map[int]*remote)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		a.read(out)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	return a.dial
}

// dial makes another client. addr is HOST:PORT, or a URL.
func (a *agent) dial(addr string, o options) (client, connected, error) {
	c := command{Do: "connect", Options: &o}
	if strings.Contains(addr, "://") {
		c.URL = addr
	} else {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, connected{}, err
		}
		c.Host = host
		if c.Port, err = strconv.Atoi(port); err != nil {
			return nil, connected{}, err
		}
	}
	r := &remote{agent: a, got: make(chan message, 1000), end: make(chan struct{}), answers: make(chan answer, 16)}
	a.mu.Lock()
	r.number = len(a.clients)
	a.clients[r.number] = r
	a.mu.Unlock()
	ans, err := r.do(c)
	return r, ans.Connack, err
}

// read takes what the agent prints until it ends, and then all its clients
// have.
func (a *agent) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var ans answer
		if err := json.Unmarshal(lines.Bytes(), &ans); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s\n", err, lines.Bytes())
			break
		}
		a.mu.Lock()
		r := a.clients[ans.Client]
		a.mu.Unlock()
		switch {
		case ans.Message != nil:
			r.got <- *ans.Message
		case ans.Ended:
			r.over()
		case ans.Done:
			r.answers <- ans
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.clients {
		r.over()
	}
}

func (r *remote) over() { r.once.Do(func() { close(r.end) }) }

// tell gives the client a command.
func (r *remote) tell(c command) error {
	c.Client = r.number
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = r.agent.in.Write(append(line, '\n'))
	return err
}

// do gives the client a command and waits until it is carried out.
func (r *remote) do(c command) (answer, error) {
	if err := r.tell(c); err != nil {
		return answer{}, err
	}
	select {
	case ans := <-r.answers:
		if ans.Error != "" {
			return ans, errors.New(ans.Error)
		}
		return ans, nil
	case <-r.end:
		return answer{}, errors.New("the connection ended")
	case <-time.After(program.Patience):
		return answer{}, errors.New("no answer")
	}
}

func (r *remote) subscribe(s subscription) (int, error) {
	ans, err := r.do(command{Do: "subscribe", Subscription: &s})
	return ans.Code, err
}

func (r *remote) unsubscribe(filter string) error {
	_, err := r.do(command{Do: "unsubscribe", Filter: filter})
	return err
}

func (r *remote) publish(m message) (int, error) {
	ans, err := r.do(command{Do: "publish", Message: &m})
	return ans.Code, err
}

func (r *remote) messages() <-chan message { return r.got }
func (r *remote) ended() <-chan struct{}   { return r.end }
func (r *remote) disconnect() error        { return r.tell(command{Do: "disconnect"}) }
func (r *remote) drop()                    { _ = r.tell(command{Do: "drop"}) }
