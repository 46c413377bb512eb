package script

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

var textBuiltins = []builtin{
	{
		name: "topic_matches", params: "filter, topic", fn: topicMatches,
		doc: "Whether a topic filter with `+` and `#` matches a topic, as the broker sees it.",
	},
	{
		name: "topics_overlap", params: "a, b", fn: topicsOverlap,
		doc: "Whether there is a topic that two filters match: `#` overlaps everything. A filter that a client subscribes to is to be held against others by this, not by comparing texts.",
	},
	{
		module: "re", name: "search", params: "pattern, text", fn: reSearch(""),
		doc: "The first place where the pattern matches: a tuple of what matched and its groups, `None` for a group that did not take part. `None` if there is no such place.",
	},
	{
		module: "re", name: "match", params: "pattern, text", fn: reSearch(`\A`),
		doc: "As `search`, but only at the beginning of the text.",
	},
	{
		module: "re", name: "fullmatch", params: "pattern, text", fn: reSearch("full"),
		doc: "As `search`, but only of the whole text.",
	},
	{
		module: "re", name: "findall", params: "pattern, text", fn: reFindall,
		doc: "All places: a list of texts, of the only group, or of tuples of groups.",
	},
	{
		module: "re", name: "sub", params: "pattern, replacement, text", fn: reSub,
		doc: "The text with all places replaced; `\\1` in the replacement is the first group.",
	},
	{
		module: "re", name: "split", params: "pattern, text", fn: reSplit,
		doc: "The parts between the places.",
	},
	{
		module: "base64", name: "encode", params: "data, url=False", fn: base64Encode,
		doc: "Bytes or a text in base64.",
	},
	{
		module: "base64", name: "decode", params: "text, url=False", fn: base64Decode,
		doc: "Bytes of base64, with or without padding; `None` if it is none.",
	},
}

func topicMatches(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var filter, topic string
	if err := starlark.UnpackArgs("topic_matches", args, kwargs, "filter", &filter, "topic", &topic); err != nil {
		return nil, err
	}
	return starlark.Bool(pluginapi.Match(filter, topic)), nil
}

func topicsOverlap(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var a, b string
	if err := starlark.UnpackArgs("topics_overlap", args, kwargs, "a", &a, "b", &b); err != nil {
		return nil, err
	}
	if _, rest, ok := pluginapi.SplitShared(a); ok {
		a = rest
	}
	return starlark.Bool(overlap(a, b)), nil
}

// patterns keeps what was compiled. Patterns are mostly literals in scripts;
// those that are put together could be many, so that it is emptied then.
var patterns struct {
	sync.RWMutex
	compiled map[string]*regexp.Regexp
}

const (
	maxPatterns = 1000
	maxPattern  = 4096
)

func pattern(p string) (*regexp.Regexp, error) {
	patterns.RLock()
	re := patterns.compiled[p]
	patterns.RUnlock()
	if re != nil {
		return re, nil
	}
	if len(p) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes is too long", len(p))
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return nil, err
	}
	patterns.Lock()
	defer patterns.Unlock()
	if patterns.compiled == nil || len(patterns.compiled) >= maxPatterns {
		patterns.compiled = make(map[string]*regexp.Regexp)
	}
	patterns.compiled[p] = re
	return re, nil
}

func reArgs(name string, args starlark.Tuple, kwargs []starlark.Tuple) (*regexp.Regexp, string, error) {
	var p, s string
	if err := starlark.UnpackArgs(name, args, kwargs, "pattern", &p, "text", &s); err != nil {
		return nil, "", err
	}
	switch name {
	case "re.match":
		p = `\A(?:` + p + `)`
	case "re.fullmatch":
		p = `\A(?:` + p + `)\z`
	}
	re, err := pattern(p)
	return re, s, err
}

func reSearch(anchor string) func(*call, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	name := map[string]string{"": "re.search", `\A`: "re.match", "full": "re.fullmatch"}[anchor]
	return func(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		re, s, err := reArgs(name, args, kwargs)
		if err != nil {
			return nil, err
		}
		at := re.FindStringSubmatchIndex(s)
		if at == nil {
			return starlark.None, nil
		}
		return starlark.Tuple(groups(s, at)), nil
	}
}

// groups are the parts of a text at pairs of places; of those that are nowhere,
// None.
func groups(s string, at []int) []starlark.Value {
	out := make([]starlark.Value, len(at)/2)
	for i := range out {
		out[i] = starlark.None
		if from, to := at[2*i], at[2*i+1]; from >= 0 {
			out[i] = text(s[from:to])
		}
	}
	return out
}

func reFindall(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	re, s, err := reArgs("re.findall", args, kwargs)
	if err != nil {
		return nil, err
	}
	if err := c.charge(int64(len(s)+1) * sizeOfElement * int64(re.NumSubexp()+1)); err != nil {
		return nil, err
	}
	var out []starlark.Value
	for _, at := range re.FindAllStringSubmatchIndex(s, -1) {
		g := groups(s, at)
		switch len(g) {
		case 1:
			out = append(out, g[0])
		case 2:
			out = append(out, g[1])
		default:
			out = append(out, starlark.Tuple(g[1:]))
		}
	}
	return starlark.NewList(out), nil
}

var backReference = regexp.MustCompile(`\\(\d)`)

func reSub(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var p, with, s string
	if err := starlark.UnpackArgs("re.sub", args, kwargs, "pattern", &p, "replacement", &with, "text", &s); err != nil {
		return nil, err
	}
	re, err := pattern(p)
	if err != nil {
		return nil, err
	}
	with = backReference.ReplaceAllString(strings.ReplaceAll(with, "$", "$$"), "$${$1}")
	if err := c.charge(int64(len(s)) * (1 + int64(strings.Count(with, "${")))); err != nil {
		return nil, err
	}
	// Each place takes what is put there, and some memory to note it: no need to
	// look for more of them than there is memory for.
	each := int64(len(with)) + 64
	places := len(re.FindAllStringIndex(s, int(c.limits.Memory/each)+1))
	if err := c.charge(int64(places) * each); err != nil {
		return nil, err
	}
	return text(re.ReplaceAllString(s, with)), nil
}

func reSplit(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	re, s, err := reArgs("re.split", args, kwargs)
	if err != nil {
		return nil, err
	}
	if err := c.charge(int64(len(s)+1) * sizeOfElement); err != nil {
		return nil, err
	}
	return texts(re.Split(s, -1)), nil
}

func encoding(url bool) *base64.Encoding {
	if url {
		return base64.RawURLEncoding
	}
	return base64.StdEncoding
}

func base64Encode(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var data starlark.Value
	var url bool
	if err := starlark.UnpackArgs("base64.encode", args, kwargs, "data", &data, "url?", &url); err != nil {
		return nil, err
	}
	b, err := toBytes(data)
	return text(encoding(url).EncodeToString(b)), err
}

func base64Decode(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var s string
	var url bool
	if err := starlark.UnpackArgs("base64.decode", args, kwargs, "text", &s, "url?", &url); err != nil {
		return nil, err
	}
	e := base64.RawStdEncoding
	if url {
		e = base64.RawURLEncoding
	}
	b, err := e.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return starlark.None, nil //nolint:nilerr // None says so
	}
	return octets(b), nil
}
