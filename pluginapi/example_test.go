package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// A whole plugin: who knows the password may use the topics below demo/.
func Example() {
	decide := func(c *pluginapi.Connect) *pluginapi.Decision {
		if string(c.Password) != "secret" {
			return pluginapi.Denied(pluginapi.BadUserNameOrPassword, "wrong password")
		}
		return pluginapi.Allowed(pluginapi.Grant{Filter: "demo/#"})
	}
	main := func() {
		pluginapi.Serve(pluginapi.Plugin{Name: "my-auth", Version: "0.1.0", Hooks: pluginapi.ConnectRule(decide)})
	}
	_ = main
}

// listConfig is a configuration; the tags become its JSON Schema.
type listConfig struct {
	Allow []string      `json:"allow" doc:"client identifiers that may connect" required:"true"`
	Mode  string        `json:"mode" doc:"what to do with others" enum:"deny,abstain"`
	Valid time.Duration `json:"valid" doc:"how long a decision holds"`
}

// list is a plugin with a configuration.
type list struct{ config listConfig }

func (l *list) ValidateConnection(_ context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	if slices.Contains(l.config.Allow, c.ClientID) {
		return &pluginapi.Decision{Word: pluginapi.Allow, ValidFor: l.config.Valid}, nil
	}
	if l.config.Mode == "abstain" {
		return pluginapi.NoOpinion(), nil
	}
	return pluginapi.Denied(pluginapi.NotAuthorized, "not on the list"), nil
}

// A plugin with a configuration: Config holds the defaults, Hooks tells which
// hooks there are before the configuration is known, and New makes the plugin.
func ExamplePlugin() {
	plugin := pluginapi.Plugin{
		Name:    "list",
		Version: "1.0.0",
		Config:  &listConfig{Mode: "deny"},
		Hooks:   (*list)(nil),
		New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
			l := new(list)
			return l, s.Config(&l.config)
		},
	}
	m, err := plugin.Manifest()
	fmt.Println(m.Name, m.Services, err)
	// Output: list [gatehouse.plugin.v1.ConnectionValidatorService] <nil>
}

// A configuration with mistakes: all of them are told, each with its place.
func ExampleSetup_Config() {
	c := listConfig{Mode: "deny"}
	err := pluginapi.NewSetup([]byte(`{"alow": ["a"], "mode": "maybe", "valid": 10}`)).Config(&c)
	fmt.Println(err)
	// Output:
	// /allow: is missing
	// /mode: must be one of deny, abstain, not "maybe"
	// /valid: must be a duration such as "10s" or "1m30s"
	// /alow: unknown key "alow": did you mean "allow"? known keys: allow, mode, valid
}

// An error of Plugin.New, Plugin.Check or Reconfigure that says where.
func ExampleConfigError() {
	check := func(_ context.Context, s *pluginapi.Setup) error {
		var c listConfig
		if err := s.Config(&c); err != nil {
			return err
		}
		var errs []error
		for i, id := range c.Allow {
			if strings.ContainsAny(id, "+#") {
				errs = append(errs, pluginapi.ConfigError{Path: fmt.Sprintf("/allow/%d", i), Message: "patterns are not supported"})
			}
		}
		return errors.Join(errs...)
	}
	fmt.Println(check(context.Background(), pluginapi.NewSetup([]byte(`{"allow": ["a", "b#", "+"]}`))))
	// Output:
	// /allow/1: patterns are not supported
	// /allow/2: patterns are not supported
}

// An interceptor changes the message that it is given.
func ExamplePublishFunc() {
	hook := pluginapi.PublishFunc(func(_ context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		switch {
		case pluginapi.Match("secret/#", call.Message.Topic):
			return pluginapi.Refuse(pluginapi.NotAuthorized, "secret"), nil
		case pluginapi.Match("noise/+", call.Message.Topic):
			return pluginapi.Drop(), nil
		}
		call.Message.UserProperties = append(call.Message.UserProperties, pluginapi.UserProperty{Key: "seen", Value: "yes"})
		return pluginapi.Pass(), nil
	})
	for _, topic := range []string{"secret/a", "noise/b", "news"} {
		m := &pluginapi.Message{Topic: topic}
		v, _ := hook.InterceptPublish(context.Background(), &pluginapi.PublishCall{Message: m})
		fmt.Println(topic, v.Action, v.Code, m.UserProperties)
	}
	// Output:
	// secret/a refuse not authorized []
	// noise/b drop success []
	// news pass success [{seen yes}]
}

func ExampleMatch() {
	fmt.Println(pluginapi.Match("sensors/+/temperature", "sensors/7/temperature"))
	fmt.Println(pluginapi.Match("sensors/#", "sensors"))
	fmt.Println(pluginapi.Match("#", "$SYS/broker/uptime"))
	fmt.Println(pluginapi.Match("$share/workers/jobs/#", "jobs/1"))
	// Output:
	// true
	// true
	// false
	// true
}

func ExampleExpand() {
	fmt.Println(pluginapi.Expand("users/%u/%c/#", "phone", "anna"))
	fmt.Println(pluginapi.Expand("users/%u/#", "phone", "+"))
	// Output:
	// users/anna/phone/# true
	//  false
}

func ExampleDegraded() {
	health := func() error { return pluginapi.Degraded("users.yaml can't be read, the old rules hold") }
	fmt.Println(health(), pluginapi.IsDegraded(health()))
	// Output: users.yaml can't be read, the old rules hold true
}

func ExampleParseManifest() {
	_, err := pluginapi.ParseManifest([]byte(`{"schema": 1, "name": "My Plugin", "version": "1.0", "api": ["gatehouse.plugin.v1"], "services": ["a.B"]}`))
	fmt.Println(err)
	// Output:
	// manifest: name "My Plugin": use up to 63 lower-case letters, digits and dashes
	// version "1.0": write a semantic version such as 1.2.3
}

// Filters of a configuration are checked before anybody relies on them.
func ExampleCheckFilter() {
	for _, f := range []string{"sensors/+/temperature", "sensors/#/temperature", "sensors+", "$share/workers"} {
		fmt.Println(pluginapi.CheckFilter(f))
	}
	// Output:
	// <nil>
	// filter "sensors/#/temperature": # is only allowed as the last level
	// filter "sensors+": a wildcard has to fill a whole level, unlike in "sensors+"
	// filter "$share/workers": a shared subscription is $share/GROUP/FILTER
}

func ExampleCheckTopic() {
	fmt.Println(pluginapi.CheckTopic("sensors/7"))
	fmt.Println(pluginapi.CheckTopic("sensors/+"))
	// Output:
	// <nil>
	// topic "sensors/+": a topic name has no wildcard '+'
}

// What stands for the wildcards makes another topic.
func ExampleCaptures() {
	if c, ok := pluginapi.Captures("factory/+/machine/+/#", "factory/berlin/machine/7/temp/max"); ok {
		fmt.Println(c)
	}
	// Output: [berlin 7 temp/max]
}

// The schema of the configuration is made of the struct, with its defaults, and
// is in the manifest that the broker, people and editors read.
func ExamplePlugin_Manifest() {
	p := pluginapi.Plugin{
		Name: "list", Version: "1.0.0", Config: &listConfig{Mode: "deny"}, Hooks: (*list)(nil),
		New: func(_ context.Context, s *pluginapi.Setup) (any, error) { return new(list), nil },
	}
	m, err := p.Manifest()
	fmt.Println(string(m.ConfigSchema[:120]), err)
	// Output: {"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"allow":{"description":"client i <nil>
}

func ExampleSplitShared() {
	fmt.Println(pluginapi.SplitShared("$share/workers/jobs/#"))
	fmt.Println(pluginapi.SplitShared("jobs/#"))
	// Output:
	// workers jobs/# true
	//   false
}

// What is promised to meters is on the disk before it is acknowledged, whatever
// the broker does for others.
func ExampleDurability() {
	decide := func(c *pluginapi.Connect) *pluginapi.Decision {
		d := pluginapi.Allowed()
		if strings.HasPrefix(c.ClientID, "meter-") {
			d.Durability = pluginapi.DurabilitySync
		}
		return d
	}
	for _, id := range []string{"meter-7", "lamp-3"} {
		fmt.Printf("%s %q\n", id, decide(&pluginapi.Connect{ClientID: id}).Durability)
	}
	// Output:
	// meter-7 "sync"
	// lamp-3 ""
}
