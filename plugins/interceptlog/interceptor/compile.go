package interceptor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/interceptlog/jsonedit"
)

// problems collects what is wrong with a configuration.
type problems []error

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, pluginapi.ConfigError{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (p *problems) err() error { return errors.Join(*p...) }

// compileRules makes rules ready for use. What it returns is of no use if there
// are problems.
func compileRules(configs []RuleConfig, p *problems) *ruleSet {
	set := new(ruleSet)
	names := make(map[string]int)
	for i := range configs {
		c := &configs[i]
		at := "/rules/" + strconv.Itoa(i)
		r := compileRule(c, at, p)
		if r.name == "" {
			r.name = strconv.Itoa(i + 1)
		}
		if first, twice := names[r.name]; twice {
			p.add(at+"/name", "rule %d has the name %q already", first+1, r.name)
		}
		names[r.name] = i
		switch c.On {
		case onSubscribe:
			set.subscribe = append(set.subscribe, r)
		case onDeliver:
			set.deliver = append(set.deliver, r)
		default:
			set.publish = append(set.publish, r)
		}
		set.all = append(set.all, r)
	}
	return set
}

func compileRule(c *RuleConfig, at string, p *problems) *rule {
	if c.On == "" {
		c.On = onPublish
	}
	r := &rule{name: c.Name, onBadJSON: c.OnBadJSON, goOn: c.Continue}
	if !utf8.ValidString(c.Name) {
		p.add(at+"/name", "is not UTF-8")
	}
	r.match = compileMatch(&c.Match, c.On, at+"/match", p)
	if len(c.Actions) == 0 {
		p.add(at+"/actions", "is empty; to let something pass that later rules would stop, use \"set_qos\" or another action, or narrow their match")
	}
	ended := false
	for i := range c.Actions {
		here := at + "/actions/" + strconv.Itoa(i)
		if ended {
			p.add(here, "comes after the end of the rule")
		}
		a := compileAction(&c.Actions[i], c.On, here, p)
		if a == nil {
			continue
		}
		r.actions = append(r.actions, a)
		n := a.needs()
		ended = ended || n.ends
		r.undoable = r.undoable || n.payload
	}
	switch {
	case ended && c.Continue:
		p.add(at+"/continue", "makes no sense in a rule that drops, refuses or disconnects")
	case c.OnBadJSON == badJSONRefuse && c.On == onDeliver:
		p.add(at+"/on_bad_json", "a delivery cannot be refused; use drop")
	}
	return r
}

func compileMatch(c *MatchConfig, on, at string, p *problems) matcher {
	m := matcher{filters: c.Topic, retain: c.Retain}
	for i, f := range c.Topic {
		if wrong := checkFilter(f); wrong != "" {
			p.add(elementPath(at+"/topic", c.Topic, i), "the topic filter %q %s", f, wrong)
		}
	}
	for _, s := range c.Client {
		m.clients = append(m.clients, parseGlob(s))
	}
	for _, s := range c.User {
		m.users = append(m.users, parseGlob(s))
	}
	for i, s := range c.Origin {
		o, ok := origins[s]
		if !ok {
			p.add(elementPath(at+"/origin", c.Origin, i), "unknown origin %q; known are client, will, server, plugin", s)
		}
		m.origins = append(m.origins, o)
	}
	for i, q := range c.QoS {
		if q < 0 || q > 2 {
			p.add(at+"/qos/"+strconv.Itoa(i), "there is no QoS %d", q)
		}
		m.qos = append(m.qos, pluginapi.QoS(q))
	}
	if on == onSubscribe && (c.Retain != nil || len(c.Origin) > 0) {
		p.add(at, "a subscription has no origin and no retain")
	}
	return m
}

func elementPath(at string, list oneOrMore, i int) string {
	if len(list) == 1 {
		return at
	}
	return at + "/" + strconv.Itoa(i)
}

var origins = map[string]pluginapi.Origin{
	"client": pluginapi.FromClient,
	"will":   pluginapi.FromWill,
	"server": pluginapi.FromServer,
	"plugin": pluginapi.FromPlugin,
}

// compileAction returns nil if there is a problem.
func compileAction(c *ActionConfig, on, at string, p *problems) action {
	var found []action
	add := func(a action) { found = append(found, a) }
	before := len(*p)
	compilePayloadAction(c, at, p, add)
	compileHeaderAction(c, on, at, p, add)
	compileEnd(c, on, at, p, add)
	if len(*p) > before {
		return nil
	}
	if len(found) != 1 {
		p.add(at, "must have exactly one action, not %d; write each as an element of the list of its own", len(found))
		return nil
	}
	a := found[0]
	if on == onSubscribe {
		switch a.(type) {
		case setTopic, setQoS, end:
		default:
			p.add(at, "cannot be done with a subscription; possible are set_topic, set_qos, drop, refuse and disconnect")
			return nil
		}
	}
	return a
}

// compilePayloadAction handles the actions on payloads.
func compilePayloadAction(c *ActionConfig, at string, p *problems, add func(action)) {
	if c.SetPayload != nil {
		add(compilePayload(c.SetPayload, at+"/set_payload", p))
	}
	if f := c.SetJSON; f != nil {
		value, err := parseJSONTemplate(f.Value)
		if err != nil {
			p.add(at+"/set_json/value", "%v", err)
		}
		add(setField{path: compilePath(f.Path, at+"/set_json/path", p), value: value})
	}
	if c.DeleteJSON != nil {
		add(deleteField{path: compilePath(*c.DeleteJSON, at+"/delete_json", p)})
	}
	if t := c.AddTimestamp; t != nil {
		add(addTimestamp{path: compilePath(t.Path, at+"/add_timestamp/path", p), format: t.Format})
	}
}

func compilePath(s, at string, p *problems) jsonedit.Path {
	path, err := jsonedit.ParsePath(s)
	if err != nil {
		p.add(at, "%v", err)
	}
	return path
}

func compilePayload(c *PayloadConfig, at string, p *problems) action {
	var all []setPayload
	if c.Text != nil {
		all = append(all, setPayload{text: template{{text: *c.Text}}})
	}
	if c.Base64 != nil {
		b, err := base64.StdEncoding.DecodeString(*c.Base64)
		if err != nil {
			p.add(at+"/base64", "is not base64")
		}
		all = append(all, setPayload{text: template{{text: string(b)}}, binary: !utf8.Valid(b)})
	}
	if c.Template != nil {
		all = append(all, setPayload{text: compileTemplate(*c.Template, at+"/template", p)})
	}
	if len(all) != 1 {
		p.add(at, "must have exactly one of text, base64 and template")
		return setPayload{}
	}
	return all[0]
}

func compileTemplate(s, at string, p *problems) template {
	t, err := parseTemplate(s)
	if err != nil {
		p.add(at, "%v", err)
	}
	return t
}

// compileHeaderAction handles the actions on everything else of a message.
func compileHeaderAction(c *ActionConfig, on, at string, p *problems, add func(action)) {
	if u := c.SetUserProperty; u != nil {
		add(setProperty{key: u.Key, value: compileTemplate(u.Value, at+"/set_user_property/value", p)})
	}
	if u := c.AddUserProperty; u != nil {
		add(setProperty{key: u.Key, value: compileTemplate(u.Value, at+"/add_user_property/value", p), add: true})
	}
	if c.RemoveUserProperty != nil {
		add(setProperty{key: *c.RemoveUserProperty})
	}
	if c.SetTopic != nil {
		t := compileTemplate(*c.SetTopic, at+"/set_topic", p)
		text, fixed := t.literal()
		switch {
		case !fixed:
		case on == onSubscribe && checkFilter(text) != "":
			p.add(at+"/set_topic", "the topic filter %q %s", text, checkFilter(text))
		case on != onSubscribe && !validTopic(text):
			p.add(at+"/set_topic", "%q is not a topic", text)
		}
		add(setTopic{topic: t})
	}
	if q := c.SetQoS; q != nil {
		if *q < 0 || *q > 2 {
			p.add(at+"/set_qos", "there is no QoS %d", *q)
		}
		add(setQoS{qos: pluginapi.QoS(*q), lower: on != onPublish})
	}
	if c.SetRetain != nil {
		add(setRetain{on: *c.SetRetain})
	}
}

// compileEnd handles the actions that give a verdict.
func compileEnd(c *ActionConfig, on, at string, p *problems, add func(action)) {
	if c.Drop != nil {
		if !*c.Drop {
			p.add(at+"/drop", "must be true, or not be there")
		}
		add(end{pluginapi.Drop()})
	}
	if e := c.Refuse; e != nil {
		switch wrong := checkRefusal(on, e.Code); {
		case on == onDeliver:
			p.add(at+"/refuse", "a delivery cannot be refused, there is nobody to tell; use drop")
		case wrong != "":
			p.add(at+"/refuse/code", "%s", wrong)
		}
		add(end{pluginapi.Refuse(pluginapi.ReasonCode(e.Code), e.Reason)})
	}
	if e := c.Disconnect; e != nil {
		if wrong := checkDisconnect(e.Code); wrong != "" {
			p.add(at+"/disconnect/code", "%s", wrong)
		}
		add(end{pluginapi.DisconnectClient(pluginapi.ReasonCode(e.Code), e.Reason)})
	}
}
