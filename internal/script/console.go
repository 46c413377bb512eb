package script

// ConsoleSocket is the name of the socket of interactive sessions, in the folder
// of the plugin's own socket. A session is JSON, one object in a line: a
// [ConsoleRequest], then its [ConsoleAnswer].
const ConsoleSocket = "repl.sock"

// ConsoleRequest is what was typed.
type ConsoleRequest struct {
	Text string `json:"text"`
}

// ConsoleAnswer is what came of it.
type ConsoleAnswer struct {
	Result    string `json:"result,omitempty"`
	Error     string `json:"error,omitempty"`
	Traceback string `json:"traceback,omitempty"`
}
