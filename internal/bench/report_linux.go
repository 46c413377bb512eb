package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// baseline is the broker that the others are compared with.
const baseline = "mosquitto"

// report gathers the figures of all runs.
type report struct {
	Scenarios []*result `json:"scenarios"`
}

// result is one scenario with one broker.
type result struct {
	Scenario string               `json:"scenario"`
	Broker   string               `json:"broker"`
	Names    []string             `json:"-"`
	Values   map[string][]float64 `json:"values"` // one of each run
	Faults   []string             `json:"faults,omitempty"`
}

func (r *report) add(scenario, broker string, values []value, err error) {
	i := slices.IndexFunc(r.Scenarios, func(x *result) bool { return x.Scenario == scenario && x.Broker == broker })
	if i < 0 {
		i = len(r.Scenarios)
		r.Scenarios = append(r.Scenarios, &result{Scenario: scenario, Broker: broker, Values: make(map[string][]float64)})
	}
	x := r.Scenarios[i]
	if err != nil {
		x.Faults = append(x.Faults, err.Error())
	}
	for _, v := range values {
		if _, known := x.Values[v.Name]; !known {
			x.Names = append(x.Names, v.Name)
		}
		x.Values[v.Name] = append(x.Values[v.Name], v.N)
		if v.Fault && v.N != 0 {
			x.Faults = append(x.Faults, fmt.Sprintf("%s: %.0f", v.Name, v.N))
		}
	}
}

// verdict is an error if one of ours lost, repeated or mixed up anything.
func (r *report) verdict() error {
	var errs []error
	for _, x := range r.Scenarios {
		if strings.HasPrefix(x.Broker, "gatehouse") {
			for _, f := range x.Faults {
				errs = append(errs, fmt.Errorf("%s, %s: %s", x.Scenario, x.Broker, f))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *report) write(markdown, figures string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	for file, data := range map[string][]byte{markdown: []byte(r.markdown()), figures: append(data, '\n')} {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return err
		}
	}
	fmt.Print(r.markdown())
	return nil
}

// markdown makes a table of each scenario.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s, %d processors. Median (lowest to highest) of all runs; x is the ratio to %s.\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), baseline)
	for _, sc := range scenarios(false) {
		var rows []*result
		for _, x := range r.Scenarios {
			if x.Scenario == sc.name {
				rows = append(rows, x)
			}
		}
		if len(rows) > 0 {
			table(&b, sc, rows)
		}
	}
	return b.String()
}

func table(b *strings.Builder, sc scenario, rows []*result) {
	names := slices.MaxFunc(rows, func(x, y *result) int { return cmp.Compare(len(x.Names), len(y.Names)) }).Names
	fmt.Fprintf(b, "\n### %s: %s\n\n| broker |", sc.name, sc.title)
	for _, n := range names {
		fmt.Fprintf(b, " %s |", n)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(names)))
	var base map[string][]float64
	for _, x := range rows {
		if x.Broker == baseline {
			base = x.Values
		}
	}
	for _, x := range rows {
		fmt.Fprintf(b, "| %s |", x.Broker)
		for _, n := range names {
			fmt.Fprintf(b, " %s |", cell(n, x.Values[n], base[n]))
		}
		b.WriteString("\n")
	}
	for _, x := range rows {
		for _, f := range slices.Compact(slices.Clone(x.Faults)) {
			fmt.Fprintf(b, "\n%s: %s\n", x.Broker, strings.TrimSpace(f))
		}
	}
}

// cell shows the runs of one figure, with its ratio to the baseline's.
func cell(name string, runs, base []float64) string {
	if len(runs) == 0 {
		return ""
	}
	s := fmt.Sprintf("%s (%s to %s)", short(median(runs)), short(slices.Min(runs)), short(slices.Max(runs)))
	if slices.Min(runs) == slices.Max(runs) {
		s = short(runs[0])
	}
	if b := median(base); b > 0 && (name == cpuPerMessage || name == perSecond) {
		s += fmt.Sprintf(" x%.2f", median(runs)/b)
	}
	return s
}

func short(n float64) string {
	if n == 0 || n >= 100 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}

func median(runs []float64) float64 {
	if len(runs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(runs))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// brief shows one run in one line.
func brief(values []value, err error) string {
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, v := range values {
		if !v.Fault || v.N != 0 {
			parts = append(parts, v.Name+" "+short(v.N))
		}
	}
	return strings.Join(parts, ", ")
}
