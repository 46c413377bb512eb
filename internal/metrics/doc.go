// Package metrics shows a running broker to Prometheus.
//
// Nothing is counted here: a scrape reads what the broker and the plugin host
// have counted anyway, asks the plugins for their own metrics, and looks at
// every session once to tell what waits in it. docs/metrics.md lists what there
// is; a test compares the two.
package metrics
