package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// adminTimeout bounds one call of a command.
const adminTimeout = 10 * time.Second

// adminFlags say which broker a command talks to.
type adminFlags struct {
	RunDir    string `help:"Run folder of the broker (default: $$GATEHOUSE_RUN_DIR; else your own, or /run/gatehouse if none of your own runs)." placeholder:"DIR"`
	Admin     string `help:"Address of the broker's admin API: unix:///PATH, http://127.0.0.1:PORT or https://HOST:PORT." env:"GATEHOUSE_ADMIN" placeholder:"URL"`
	TokenFile string `help:"File with the token of the admin API." env:"GATEHOUSE_ADMIN_TOKEN_FILE" placeholder:"FILE" group:"admin"`
	CACert    string `name:"cacert" help:"Authorities that may have issued the broker's certificate (default: those of the system)." placeholder:"FILE" group:"admin"`
	Cert      string `help:"Client certificate for the admin API." placeholder:"FILE" group:"admin"`
	Key       string `help:"Its private key." placeholder:"FILE" group:"admin"`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// adminVariable is the variable of the environment with the address.
const adminVariable = "GATEHOUSE_ADMIN"

// adminBase is what clients of the API are made with; where requests really go
// is for the transport to say.
const adminBase = "http://broker"

func (f *adminFlags) client() (adminv1connect.AdminServiceClient, error) {
	hc, err := f.httpClient()
	if err != nil {
		return nil, err
	}
	return adminv1connect.NewAdminServiceClient(hc, adminBase), nil
}

// address is where the broker is looked for.
func (f *adminFlags) address() (*url.URL, error) {
	// The run folder of the command line wins over an address of the environment.
	if f.Admin != "" && (f.RunDir == "" || f.Admin != os.Getenv(adminVariable)) {
		return parseAdminURL(f.Admin)
	}
	dir := f.RunDir
	if dir == "" {
		dir = findRunDir(defaultRunDir(), packagedRunDir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return parseAdminURL("unix://" + filepath.Join(abs, adminSocketName))
}

// httpClient speaks to the broker's admin API, whatever host it is asked for.
func (f *adminFlags) httpClient() (*http.Client, error) {
	to, err := f.address()
	if err != nil {
		return nil, err
	}
	out := &adminTransport{to: to, http: &http.Transport{}}
	network, address := "tcp", to.Host
	if to.Scheme == "unix" {
		network, address = "unix", to.Path
		out.to = &url.URL{Scheme: "http", Host: "broker"}
	}
	out.http.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, &noBrokerError{to.String(), err}
		}
		return c, nil
	}
	if f.TokenFile != "" {
		text, err := os.ReadFile(f.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		out.token = strings.TrimSpace(string(text))
	}
	if out.http.TLSClientConfig, err = clientTLS(f.CACert, f.Cert, f.Key); err != nil {
		return nil, err
	}
	return &http.Client{Transport: out}, nil
}

// clientTLS is the TLS of a client with these files, each of which may be "".
func clientTLS(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", ca)
		}
	}
	if cert == "" {
		if key != "" {
			return nil, errors.New("--key is of no use without --cert")
		}
		return c, nil
	}
	if key == "" {
		key = cert // with the key in it
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// adminTransport sends requests to one broker.
type adminTransport struct {
	to    *url.URL // scheme and host count
	token string
	http  *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (t *adminTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = t.to.Scheme, t.to.Host, t.to.Host
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	return t.http.RoundTrip(r)
}

// noBrokerError says that nobody listens where the broker was looked for.
type noBrokerError struct {
	url string
	err error
}

// Error says where it was looked for, and what one can do.
func (e *noBrokerError) Error() string {
	return fmt.Sprintf("no broker answers at %s; is it running, with this run folder? --run-dir or --admin says where it is (%v)", e.url, e.err)
}

// Unwrap returns the cause.
func (e *noBrokerError) Unwrap() error { return e.err }

// Exit statuses beside 0, 1 for an error, and 2 for a command line that makes no
// sense.
const (
	exitNotFound = 3 // what was named does not exist
	exitNoBroker = 4 // the broker does not answer
	exitRefused  = 5 // the broker does not let the caller in
)

// statusError is an error that ends the program with a status of its own.
type statusError struct {
	status int
	error
}

// Unwrap returns the error.
func (f *statusError) Unwrap() error { return f.error }

// explain takes connect's code off an error that speaks for itself.
func explain(err error) error {
	var absent *noBrokerError
	if errors.As(err, &absent) && errors.Is(err, fs.ErrPermission) {
		return &statusError{exitRefused, fmt.Errorf("only root and the user that the broker runs as may talk to %s: try sudo (%w)", absent.url, absent.err)}
	}
	if absent != nil {
		return &statusError{exitNoBroker, absent}
	}
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return err
	}
	said := errors.New(ce.Message())
	switch ce.Code() { //nolint:exhaustive // others are errors like any
	case connect.CodeNotFound:
		return &statusError{exitNotFound, said}
	case connect.CodeUnauthenticated:
		return &statusError{exitRefused, errors.New("the broker wants a token, or another one: --token-file names the file that it is in")}
	case connect.CodePermissionDenied:
		return &statusError{exitRefused, said}
	case connect.CodeUnimplemented:
		return fmt.Errorf("the broker that runs does not know this: it is of another version (%w)", said)
	default:
		return said
	}
}
