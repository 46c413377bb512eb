package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// HTTP is what scripts may ask for by HTTP.
type HTTP struct {
	// Hosts are host names, or "host:port"; without a port it is 80 or 443.
	// None: nothing.
	Hosts []string
	// Timeout of one request. Zero means 1 s. The time that the call has ends
	// it too.
	Timeout time.Duration
	// MaxBytes bounds an answer. Zero means 256 KiB.
	MaxBytes int64
	// Client makes the requests; nil for one of its own, without a proxy.
	Client *http.Client
}

const (
	defaultHTTPTimeout = time.Second
	defaultHTTPBytes   = 256 << 10
)

// ownClient follows no redirect without asking, and uses no proxy.
var ownClient = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
}}

// permits checks a URL, also one that a server redirects to.
func (h *HTTP) permits(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("%q is no URL with http or https and a host", u.Redacted())
	}
	if len(h.Hosts) == 0 {
		return errors.New("no host is permitted: name them under http.hosts in the plugin's configuration")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	usual := port == "80" || port == "443"
	name := strings.ToLower(u.Hostname())
	for _, allowed := range h.Hosts {
		allowed = strings.ToLower(allowed)
		if usual && allowed == name || allowed == name+":"+port || allowed == "["+name+"]:"+port {
			return nil
		}
	}
	return fmt.Errorf("the host %s is not permitted: name it under http.hosts in the plugin's configuration", u.Host)
}

func httpGet(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var address string
	var headers, timeout starlark.Value = starlark.None, starlark.None
	if err := starlark.UnpackArgs("http.get", args, kwargs, "url", &address, "headers?", &headers, "timeout?", &timeout); err != nil {
		return nil, err
	}
	return c.request(http.MethodGet, address, nil, headers, timeout)
}

func httpPost(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var address string
	var body, asJSON, headers, timeout starlark.Value = starlark.None, starlark.None, starlark.None, starlark.None
	if err := starlark.UnpackArgs("http.post", args, kwargs, "url", &address, "body?", &body, "json?", &asJSON, "headers?", &headers, "timeout?", &timeout); err != nil {
		return nil, err
	}
	data, err := toBytes(body)
	if err != nil {
		return nil, fmt.Errorf("http.post: body: %w", err)
	}
	if asJSON != starlark.None {
		if err := c.charge(measure(asJSON, c.limits.Memory)); err != nil {
			return nil, err
		}
		encoded, err := starlark.Call(c.thread, starjson.Module.Members["encode"], starlark.Tuple{asJSON}, nil)
		if err != nil {
			return nil, err
		}
		data = []byte(encoded.(starlark.String))
		headers = withHeader(headers, "Content-Type", "application/json")
	}
	return c.request(http.MethodPost, address, data, headers, timeout)
}

// withHeader adds a header that is not there.
func withHeader(headers starlark.Value, name, value string) starlark.Value {
	d := starlark.NewDict(1)
	if given, ok := headers.(starlark.IterableMapping); ok {
		for _, kv := range given.Items() {
			_ = d.SetKey(kv[0], kv[1]) // it was a key
			if k, _ := starlark.AsString(kv[0]); strings.EqualFold(k, name) {
				return headers
			}
		}
	}
	_ = d.SetKey(text(name), text(value)) // a string can be hashed
	return d
}

// request makes a request. Mistakes of the script are errors; what the server or
// the network does is an answer.
func (c *call) request(method, address string, body []byte, headers, timeout starlark.Value) (starlark.Value, error) {
	if err := c.acts("http"); err != nil {
		return nil, err
	}
	policy := &c.set.options.HTTP
	u, err := url.Parse(address)
	if err == nil {
		err = policy.permits(u)
	}
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	limit := policy.Timeout
	if limit <= 0 {
		limit = defaultHTTPTimeout
	}
	if own, err := toDuration(timeout); err != nil {
		return nil, fmt.Errorf("http: timeout: %w", err)
	} else if own > 0 {
		limit = min(limit, own)
	}
	ctx, cancel := c.outside(limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err == nil {
		err = setHeaders(req, headers)
	}
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	return policy.answer(ctx, c, req)
}

func setHeaders(req *http.Request, headers starlark.Value) error {
	list, err := toProperties(headers)
	for _, h := range list {
		if strings.EqualFold(h.Key, "Host") {
			return errors.New("the header Host follows from the URL")
		}
		req.Header.Add(h.Key, h.Value)
	}
	return err
}

func (h *HTTP) answer(ctx context.Context, c *call, req *http.Request) (starlark.Value, error) {
	client := *ownClient
	if h.Client != nil {
		client = *h.Client
	}
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("it redirects too often")
		}
		return h.permits(next.URL)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answered(0, nil, nil, reasonOf(ctx, err)), nil
	}
	defer func() { _ = resp.Body.Close() }()
	limit := h.MaxBytes
	if limit <= 0 {
		limit = defaultHTTPBytes
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("the answer has more than %d bytes (http.max_bytes)", limit)
	}
	if err != nil {
		return answered(0, nil, nil, reasonOf(ctx, err)), nil
	}
	return answered(resp.StatusCode, resp.Header, body, ""), c.charge(2 * int64(len(body)))
}

func reasonOf(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "it took too long"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return oneLine(err.Error())
}

func answered(status int, header http.Header, body []byte, problem string) starlark.Value {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	headers := starlark.NewDict(len(names))
	for _, name := range names {
		_ = headers.SetKey(text(strings.ToLower(name)), text(strings.Join(header[name], ", "))) // a string can be hashed
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"status": starlark.MakeInt(status), "headers": headers, "body": octets(body), "text": readable(body), "error": optional(problem),
	})
}
