package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// The shells ask the program itself what fits, with every press of the key: so
// what they offer is what this build knows, and the names are those of the
// broker that runs.
var (
	//go:embed completion/broker.bash
	bashCompletion string
	//go:embed completion/broker.zsh
	zshCompletion string
	//go:embed completion/broker.fish
	fishCompletion string
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help tells where the script goes.
func (*completionCmd) Help() string {
	return "bash: source <(broker completion bash), in ~/.bashrc. zsh: broker completion zsh > \"${fpath[1]}/_broker\". " +
		"fish: broker completion fish > ~/.config/fish/completions/broker.fish. Names of plugins, clients and sessions are those of the broker that runs."
}

// Run prints the script.
func (cmd *completionCmd) Run(t *terminal) error {
	script := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[cmd.Shell]
	_, err := fmt.Fprint(t.out, script)
	return err
}

// completeCmd is what the scripts call.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints what the last of the words may become, one a line. Nothing leaves it to
// the shell, which knows files.
func (cmd *completeCmd) Run(t *terminal, app *kong.Application) error {
	words := cmd.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, w := range complete(app, words, namesOfBroker) {
		if _, err := fmt.Fprintln(t.out, w); err != nil {
			return err
		}
	}
	return nil
}

// lookup returns the names of a kind: plugin, client or session.
type lookup func(kind string, f *adminFlags) []string

// completer is a command line up to the word that is typed.
type completer struct {
	node    *kong.Node
	flag    *kong.Flag // whose value comes next; nil for none
	at      int        // which argument of the command comes next
	literal bool       // -- was there: no flags any more
	admin   adminFlags
	names   lookup
}

// complete returns what the last of the words may become.
func complete(app *kong.Application, words []string, names lookup) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	c := &completer{node: app.Node, names: names}
	last := len(words) - 1
	for _, w := range words[:last] {
		c.take(w)
	}
	var fit []string
	for _, s := range c.offers(words[last]) {
		if strings.HasPrefix(s, words[last]) {
			fit = append(fit, s)
		}
	}
	slices.Sort(fit)
	return slices.Compact(fit)
}

// take goes past a word.
func (c *completer) take(w string) {
	switch {
	case c.flag != nil:
		c.note(c.flag, w)
		c.flag = nil
	case c.literal || !strings.HasPrefix(w, "-"):
		for _, child := range c.node.Children {
			if !c.literal && (child.Name == w || slices.Contains(child.Aliases, w)) {
				c.node, c.at = child, 0
				return
			}
		}
		c.at++
	case w == "--":
		c.literal = true
	default:
		name, value, whole := strings.Cut(w, "=")
		f := c.flagNamed(name)
		if f == nil || f.IsBool() || f.IsCounter() {
			return
		}
		if whole {
			c.note(f, value)
		} else {
			c.flag = f
		}
	}
}

// note remembers where the broker is.
func (c *completer) note(f *kong.Flag, value string) {
	to := map[string]*string{
		"run-dir": &c.admin.RunDir, "admin": &c.admin.Admin, "token-file": &c.admin.TokenFile,
		"cacert": &c.admin.CACert, "cert": &c.admin.Cert, "key": &c.admin.Key,
	}[f.Name]
	if to != nil {
		*to = value
	}
}

func (c *completer) flags() (list []*kong.Flag) {
	for _, group := range c.node.AllFlags(true) {
		list = append(list, group...)
	}
	return list
}

func (c *completer) flagNamed(w string) *kong.Flag {
	for _, f := range c.flags() {
		if w == "--"+f.Name || f.Short != 0 && w == "-"+string(f.Short) {
			return f
		}
	}
	return nil
}

// offers returns what may stand where a word is typed that begins so.
func (c *completer) offers(typed string) []string {
	if c.flag != nil {
		return c.values(c.flag.Value)
	}
	if strings.HasPrefix(typed, "-") && !c.literal {
		return c.flagOffers(typed)
	}
	var list []string
	for _, child := range c.node.Children {
		if !child.Hidden {
			list = append(list, child.Name)
		}
	}
	args := c.node.Positional
	switch n := len(args); {
	case c.at < n:
		list = append(list, c.values(args[c.at])...)
	case n > 0 && args[n-1].IsCumulative():
		list = append(list, c.values(args[n-1])...)
	}
	return list
}

func (c *completer) flagOffers(typed string) (list []string) {
	if name, _, ok := strings.Cut(typed, "="); ok {
		f := c.flagNamed(name)
		if f == nil {
			return nil
		}
		for _, v := range c.values(f.Value) {
			list = append(list, name+"="+v)
		}
		return list
	}
	for _, f := range c.flags() {
		list = append(list, "--"+f.Name)
	}
	return list
}

// values returns what a flag or an argument may be, as far as that is known.
func (c *completer) values(v *kong.Value) (list []string) {
	if kind := v.Tag.Get("predictor"); kind != "" {
		return c.names(kind, &c.admin)
	}
	for _, s := range v.EnumSlice() {
		if s != "" {
			list = append(list, s)
		}
	}
	return list
}

// mostOffered bounds how many names are asked for: nobody picks one of more.
const mostOffered = 200

// namesOfBroker asks the broker that runs. One that does not answer at once has
// no names.
func namesOfBroker(kind string, f *adminFlags) (names []string) {
	hc, err := f.httpClient()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	switch kind {
	case "plugin":
		res, err := adminv1connect.NewAdminServiceClient(hc, adminBase).ListPlugins(ctx, connect.NewRequest(&adminv1.ListPluginsRequest{}))
		if err != nil {
			return nil
		}
		for _, p := range res.Msg.GetPlugins() {
			names = append(names, p.GetName())
		}
	case "client":
		res, err := adminv1connect.NewClientServiceClient(hc, adminBase).ListClients(ctx, &adminv1.ListClientsRequest{Limit: mostOffered})
		if err != nil {
			return nil
		}
		for _, c := range res.GetClients() {
			names = append(names, c.GetClientId())
		}
	case "session":
		res, err := adminv1connect.NewSessionServiceClient(hc, adminBase).ListSessions(ctx, &adminv1.ListSessionsRequest{Limit: mostOffered})
		if err != nil {
			return nil
		}
		for _, s := range res.GetSessions() {
			names = append(names, s.GetClientId())
		}
	}
	// What a shell could take for something else is not offered.
	return slices.DeleteFunc(names, func(s string) bool { return s == "" || strings.ContainsFunc(s, unsafeInShell) })
}

func unsafeInShell(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@,+%", r))
}
