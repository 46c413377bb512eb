package script

import (
	"fmt"
	"strings"
)

// Reference is what scripts are given, as Markdown: the hooks with the fields of
// their contexts, the functions, and the names of reason codes. It is made of
// the tables that the program itself uses.
func Reference() string {
	var b strings.Builder
	b.WriteString("### Hooks\n")
	for i := range hooks {
		h := &hooks[i]
		params := "context"
		if h.record == nil {
			params = ""
		}
		fmt.Fprintf(&b, "\n#### `%s(%s)`\n\n%s\n", h.Name, params, h.Doc)
		if h.record == nil {
			continue
		}
		b.WriteString("\n| field | type | can be set | |\n|---|---|---|---|\n")
		fieldRows(&b, h.record, true)
	}
	b.WriteString("\n### Dicts in contexts\n")
	for _, r := range []struct {
		name   string
		record *record
	}{{"certificate", certificateRecord}, {"tls", tlsRecord}, {"websocket", websocketRecord}, {"proxy", proxyRecord}, {"an entry of grants", grantRecord}} {
		fmt.Fprintf(&b, "\n`%s`:\n\n| field | type | |\n|---|---|---|\n", r.name)
		fieldRows(&b, r.record, false)
	}
	b.WriteString("\n### Functions\n\n| function | |\n|---|---|\n")
	list := allBuiltins()
	functionRows(&b, list, "")
	for _, m := range moduleDocs {
		fmt.Fprintf(&b, "\n#### `%s`\n\n%s\n", m.name, m.doc)
		if hasModule(list, m.name) {
			b.WriteString("\n| function | |\n|---|---|\n")
			functionRows(&b, list, m.name)
		}
	}
	b.WriteString("\n### Functions for tests\n\nIn `*_test.star`, and wherever `broker script test` runs.\n\n| function | |\n|---|---|\n")
	functionRows(&b, testBuiltins(), "")
	fmt.Fprintf(&b, "\n### Reason codes\n\n`%s`.\n", strings.Join(ReasonNames(), "`, `"))
	return b.String()
}

func fieldRows(b *strings.Builder, r *record, settable bool) {
	for _, f := range r.fields {
		fmt.Fprintf(b, "| `%s` | %s |", f.Name, f.Type)
		if settable {
			can := ""
			if f.Writable {
				can = "yes"
			}
			fmt.Fprintf(b, " %s |", can)
		}
		fmt.Fprintf(b, " %s |\n", f.Doc)
	}
}

func functionRows(b *strings.Builder, list []builtin, module string) {
	for i := range list {
		if list[i].module == module {
			fmt.Fprintf(b, "| `%s(%s)` | %s |\n", list[i].full(), list[i].params, list[i].doc)
		}
	}
}

func hasModule(list []builtin, module string) bool {
	for i := range list {
		if list[i].module == module {
			return true
		}
	}
	return false
}
