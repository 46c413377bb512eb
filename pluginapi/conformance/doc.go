// Package conformance checks whether a plugin, in whatever language, does what
// the contract in proto/gatehouse/plugin/v1 asks of it.
//
// It is what "broker plugin check" runs, and what plugintest.Check runs from
// "go test". How a process of the plugin is started is left to a [Launcher]:
// the command's does it as the broker would. [Run] makes one [Result] of each
// case: what was expected, what happened, and what to do about it.
//
//	failed, err := conformance.Run(ctx, conformance.Options{
//		Launcher: launcher,
//		Config:   []byte(`{"file": "users.yaml"}`),
//		Report:   func(r conformance.Result) { fmt.Println(r.Status, r.Case, r.Happened) },
//	})
//
// Cases of hooks that a plugin does not serve are skipped. A case judges only
// what every plugin of its kind has to do; whether the right clients are let in
// is a matter for the plugin's own tests.
package conformance
