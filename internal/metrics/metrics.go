package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Sources are what a scrape reads. All of them are called from several
// goroutines at once.
type Sources struct {
	Version string
	Broker  Broker
	Plugins Plugins
	// Retained tells how many changes its store does not have yet.
	Retained interface{ Pending() int }
	// Store returns the name of the plugin that keeps the retained messages, OnDisk if
	// the store of sessions does, "" if nobody does.
	Store func() string
	// Sessions is the store of sessions, nil if they are in memory.
	Sessions SessionStore
	// Shadows returns those that run.
	Shadows func() []Shadow
	// Certificates returns those that listeners serve.
	Certificates func() []Certificate
	// Logger hears of plugins whose metrics are refused; nil discards.
	Logger *slog.Logger
}

// OnDisk is what the store of sessions is called where plugins are by their names.
const OnDisk = "disk"

// Certificate is one that a listener serves.
type Certificate struct {
	Listener, Subject, Serial string
	Expires                   time.Time
}

var certificateExpiry = gauge("certificate_expiry_timestamp_seconds", "When a certificate that a listener serves expires, in seconds since 1970.", "listener", "subject", "serial")

// concurrentScrapes is how many may look at all sessions at the same time.
const concurrentScrapes = 3

// Handler returns what Prometheus scrapes, as text or OpenMetrics, as it likes.
// More than three scrapes at once are answered with 503.
func Handler(from Sources) http.Handler {
	if from.Logger == nil {
		from.Logger = slog.New(slog.DiscardHandler)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{from},
	)
	all := prometheus.Gatherers{r, newForeign(from.Plugins, from.Logger)}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: concurrentScrapes, ErrorHandling: promhttp.ContinueOnError,
		ErrorLog: complaints{from.Logger},
	})
}

// complaints are the library's; there is none unless the code here is wrong or
// whoever scrapes has hung up.
type complaints struct{ log *slog.Logger }

// Println implements [promhttp.Logger].
func (c complaints) Println(v ...any) { c.log.Debug("scrape of metrics", slog.Any("error", v)) }

// collector reads the sources when it is scraped.
type collector struct{ from Sources }

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.collectBroker(ch)
	c.collectBacklog(ch)
	c.collectPlugins(ch, c.from.Plugins.Plugins())
	c.collectSessionStore(ch)
	c.collectShadows(ch)
	c.collectStore(context.Background(), ch) // the library hands no context on
	for _, cert := range c.from.Certificates() {
		send(ch, certificateExpiry, cert.Expires.Unix(), cert.Listener, cert.Subject, cert.Serial)
	}
}
