package conformance

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Options say what is checked, and how.
type Options struct {
	// Launcher starts processes of the plugin.
	Launcher Launcher
	// Manifest is what the plugin's folder, or "PROGRAM describe", says. Nil
	// means that only the running plugin can tell.
	Manifest *pluginapi.Manifest
	// Config is the plugin's configuration, a JSON object. Nil means {}.
	Config []byte
	// Only names the cases to run, with the wildcards of path.Match: "store/*".
	// The case "plugin/start" always runs. Empty means all.
	Only []string
	// ClientID, Username and Password are those of a client that the plugin lets
	// in. Without a user name nobody knows one, and fewer cases run; without a
	// client identifier any will do.
	ClientID, Username, Password string
	// Topics is how many topics the case "store/many" stores. Zero means 5,000.
	Topics int
	// Erase allows the cases of stores to remove what the store has already.
	// Without it a store that is not empty is not checked.
	Erase bool
	// CallTimeout bounds one call. Zero means 10 s.
	CallTimeout time.Duration
	// StopTimeout bounds the way from a call of Stop to the end of the process.
	// Zero means 6 s, which is what the broker gives.
	StopTimeout time.Duration
	// Report is told of each result as it comes, by the goroutine that called
	// Run. Nil: nobody is.
	Report func(Result)
}

// Status is how a case went.
type Status string

// The outcomes of a case.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skip" // it is not about this plugin, or could not be judged
)

// Result is the outcome of one case.
type Result struct {
	Case   string `json:"case"` // such as "store/binary"
	Status Status `json:"status"`
	// Expected is what the contract asks for.
	Expected string `json:"expected"`
	// Happened is what was seen instead, or why the case was skipped; empty for
	// one that passed.
	Happened string `json:"happened,omitempty"`
	// Do is what the author can do about a failure.
	Do      string        `json:"do,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Case is what one case is about.
type Case struct {
	Name     string `json:"case"`
	Expected string `json:"expected"`
}

// Cases lists all cases in their order.
func Cases() []Case {
	var all []Case
	for _, c := range cases() {
		all = append(all, Case{c.name, c.expected})
	}
	return all
}

// testCase is one case. Its name begins with its kind.
type testCase struct {
	name     string
	expected string
	advice   string
	run      func(*check)
}

func (c *testCase) kind() string {
	kind, _, _ := strings.Cut(c.name, "/")
	return kind
}

// cases are all cases in their order. Those that judge everything that was
// printed come last.
func cases() []testCase {
	return slices.Concat(pluginCases, validatorCases, interceptorCases, observerCases, storeCases, endingCases)
}

// Run runs the cases one after the other and returns how many failed. Its error
// is of the options, or says that ctx ended before all was done; a plugin that
// does wrong is no error. When it returns, no process of the plugin is left.
func Run(ctx context.Context, o Options) (failed int, err error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	k := newKit(&o)
	defer k.leave()
	for _, c := range cases() {
		if !o.wants(&c) {
			continue
		}
		r := k.runCase(ctx, &c)
		if ctx.Err() != nil {
			return failed, fmt.Errorf("conformance: %s was not finished: %w", c.name, context.Cause(ctx))
		}
		if r.Status == Failed {
			failed++
		}
		if o.Report != nil {
			o.Report(r)
		}
	}
	return failed, nil
}

// startName is the case without which there are no others.
const startName = "plugin/start"

// wants reports whether a case is to run.
func (o *Options) wants(c *testCase) bool {
	return len(o.Only) == 0 || c.name == startName || slices.ContainsFunc(o.Only, func(pattern string) bool {
		ok, _ := path.Match(pattern, c.name)
		return ok
	})
}

// check fills what is zero and refuses what makes no sense.
func (o *Options) check() error {
	if o.Launcher == nil {
		return errors.New("conformance: there is no launcher")
	}
	for _, pattern := range o.Only {
		known := func(c testCase) bool { ok, _ := path.Match(pattern, c.name); return ok }
		if _, err := path.Match(pattern, ""); err != nil || !slices.ContainsFunc(cases(), known) {
			return fmt.Errorf("conformance: no case is called %q", pattern)
		}
	}
	if o.Topics < 0 || o.CallTimeout < 0 || o.StopTimeout < 0 {
		return errors.New("conformance: a negative number makes no sense")
	}
	if len(o.Config) == 0 {
		o.Config = []byte("{}")
	}
	o.ClientID = cmp.Or(o.ClientID, "known")
	o.Topics = cmp.Or(o.Topics, 5000)
	o.CallTimeout = cmp.Or(o.CallTimeout, 10*time.Second)
	o.StopTimeout = cmp.Or(o.StopTimeout, 6*time.Second)
	return nil
}

// newCanary makes a word that nobody prints by accident.
func newCanary() string { return "canary-" + strings.ToLower(rand.Text()) }
