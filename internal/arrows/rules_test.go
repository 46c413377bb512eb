package arrows

const module = "github.com/gatehouse-mqtt/gatehouse"

// row says what one package may import of this module. A name that ends with
// "/..." stands for a package and all below it. The rule of the same name in
// .golangci.yml says the same; see TestLinterKnowsArrows.
type row struct {
	rule, pkg string
	may       []string
	why       string
}

var rows = []row{
	{
		"mqtt", "core/mqtt", nil,
		"core/mqtt is the vocabulary of all other packages, so it imports none of them",
	},
	{
		"topic", "core/topic", nil,
		"core/topic is about strings and trees of them; it knows neither messages nor clients",
	},
	{
		"packet", "core/packet",
		[]string{"core/mqtt"},
		"core/packet turns bytes into packets; what they mean is for others to say",
	},
	{
		"session", "core/session",
		[]string{"core/mqtt"},
		"core/session is the protocol state of one client: no network, no codec, no other client",
	},
	{
		"store", "core/store",
		[]string{"core/mqtt", "core/session", "core/retain", "core/admission"},
		"core/store writes what sessions and the index of retained messages tell it; the broker that has them is not its concern",
	},
	{
		"hook", "core/hook",
		[]string{"core/mqtt", "core/topic"},
		"core/hook is what broker and plugin host have in common; it knows neither",
	},
	{
		"trace", "core/trace",
		[]string{"core/hook", "core/mqtt", "core/topic"},
		"core/trace looks at hooks from outside; how calls are shown is for others to say",
	},
	{
		"shadow", "core/shadow",
		[]string{"core/hook", "core/mqtt", "core/trace"},
		"core/shadow compares hooks with hooks; that they are processes, and how answers are shown, is for others to say",
	},
	{
		"retain", "core/retain",
		[]string{"core/mqtt", "core/topic"},
		"core/retain declares its store; what implements it comes from outside",
	},
	{
		"router", "core/router",
		[]string{"core/mqtt", "core/topic"},
		"core/router declares what it delivers to; a session is only one thing that fits",
	},
	{
		"listener", "core/listener",
		[]string{"core/admission"},
		"core/listener gives connections; what is spoken over them is none of its business",
	},
	{
		"certificate", "core/certificate", nil,
		"core/certificate reads certificates and issues them; who listens with them is not its concern",
	},
	{
		"admission", "core/admission", nil,
		"core/admission counts what comes in; what it is, and how it is refused, is for others to say",
	},
	{
		"wholefile", "internal/wholefile", nil,
		"internal/wholefile replaces files; what is in them is for others to say",
	},
	{
		"ban", "core/ban",
		[]string{"internal/wholefile"},
		"core/ban is a list of names and networks; who is looked up in it, and what follows, is for others to say",
	},
	{
		"quota", "core/quota",
		[]string{"internal/wholefile"},
		"core/quota counts what accounts use; what is counted, and what follows, is for others to say",
	},
	{
		"broker", "core/broker",
		[]string{
			"core/admission", "core/ban", "core/hook", "core/listener", "core/mqtt", "core/packet", "core/quota", "core/retain", "core/router", "core/session", "core/topic",
			"internal/socket",
		},
		"core/broker is programmed through core/hook alone, so that it can be embedded without plugins",
	},
	{
		"pluginhost", "core/pluginhost",
		[]string{
			"core/hook", "core/mqtt", "core/retain", "core/topic", "internal/socket", "internal/wholefile", "pluginapi", "proto/gatehouse/plugin/v1",
		},
		"core/pluginhost offers plugins as hooks and a store; the broker that asks them is not its concern",
	},
	{
		"admin", "core/admin",
		[]string{
			"core/mqtt", "core/topic", "core/hook", "core/ban", "core/broker", "core/quota", "proto/gatehouse/admin/v1", "proto/gatehouse/admin/v1/adminv1connect",
		},
		"core/admin puts the broker's server API into the words of the contract; cmd/broker hands it plugins, stores and configuration",
	},
	{
		"pluginapi", "pluginapi/...",
		[]string{"pluginapi/...", "proto/gatehouse/plugin/v1", "internal/collector", "internal/socket"},
		"who writes a plugin downloads pluginapi and sees no code of the broker",
	},
	{
		"plugins", "plugins/...",
		[]string{"pluginapi", "plugins/...", "internal/password", "internal/script"},
		"a plugin is written against pluginapi, ours like everyone's",
	},
	{
		"script", "internal/script",
		[]string{"pluginapi"},
		"internal/script runs scripts for the plugin that serves them and for the commands that test them, by what every plugin knows",
	},
	{
		"examples", "examples/...",
		[]string{"pluginapi"},
		"an example shows what anybody can write outside of this module",
	},
}

// ban says what a package may not even import by way of others. The names of
// ours lack the module.
type ban struct {
	from   string
	except []string
	never  []string
	why    string
}

var bans = []ban{
	{
		"core/...",
		[]string{"core/pluginhost", "core/admin"}, // which shows calls in the words of the contract
		[]string{"google.golang.org/grpc/...", "github.com/hashicorp/...", "pluginapi/..."},
		"an embedder of the broker gets neither gRPC nor processes; core/pluginhost has both",
	},
	{
		"core/...",
		[]string{"core/pluginhost", "core/admin", "core/store"}, // pebble brings it
		[]string{"google.golang.org/protobuf/...", "connectrpc.com/...", "proto/..."},
		"the core has types of its own; core/pluginhost and core/admin translate",
	},
	{
		"core/...",
		[]string{"core/store"}, // pebble brings Prometheus
		[]string{"github.com/goccy/go-yaml/...", "github.com/alecthomas/kong/...", "github.com/prometheus/...", "go.opentelemetry.io/..."},
		"the core has no file format, no command line and no metrics library; cmd/broker maps them to Options",
	},
	{
		"pluginapi/...", nil,
		[]string{"core/...", "internal/password", "internal/brokertest", "github.com/goccy/go-yaml/...", "github.com/alecthomas/kong/...", "connectrpc.com/..."},
		"what a plugin author downloads is small and has no code of the broker in it",
	},
	{
		"...", nil,
		[]string{"cmd/..."},
		"cmd/broker wires everything together and is wired to nothing",
	},
	{
		"cmd/...", nil,
		// examples/plugins itself is no plugin: it has files of the examples for scaffold.
		[]string{"plugins/...", "examples/plugins/minimal-validator"},
		"the broker knows its plugins as programs only, ours like everyone's",
	},
	{
		"core/...",
		[]string{"core/store"},
		[]string{"github.com/cockroachdb/..."},
		"core/broker keeps sessions through a port, so that it can be embedded without a database",
	},
	{
		"core/...",
		[]string{"core/pluginhost", "core/store"}, // go-plugin and pebble bring it
		[]string{"testing"},
		"what helps tests is in no program",
	},
	{
		"...", nil,
		[]string{"internal/brokertest", "pluginapi/plugintest/..."},
		"what helps tests is in no program",
	},
}
