package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of a summary.
const (
	summaryBytes  = 2048 // about
	summaryString = 256  // of one string
	summaryItems  = 10   // of one list
)

// secret are words in names of fields whose strings are not shown.
var secret = []string{"password", "secret", "token", "credential"}

// summaryOf writes the fields that are set, in the order of their numbers.
func summaryOf(m protoreflect.Message) string {
	w := new(summary)
	w.message(m)
	return w.String()
}

type summary struct{ strings.Builder }

// full reports that there is no room any more, and says so once.
func (w *summary) full() bool { return w.Len() > summaryBytes }

func (w *summary) message(m protoreflect.Message) {
	var set []protoreflect.FieldDescriptor
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, f)
		return true
	})
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number() - b.Number()) })
	w.WriteByte('{')
	for i, f := range set {
		if i > 0 {
			w.WriteByte(',')
		}
		if w.full() {
			w.WriteString(`"...":"more"`)
			break
		}
		fmt.Fprintf(w, "%q:", f.JSONName())
		w.field(f, m.Get(f))
	}
	w.WriteByte('}')
}

func (w *summary) field(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsMap():
		fmt.Fprintf(w, "\"%d entries\"", v.Map().Len())
	case f.IsList():
		w.list(f, v.List())
	default:
		w.value(f, v)
	}
}

func (w *summary) list(f protoreflect.FieldDescriptor, l protoreflect.List) {
	w.WriteByte('[')
	for i := range l.Len() {
		if i > 0 {
			w.WriteByte(',')
		}
		if i == summaryItems || w.full() {
			fmt.Fprintf(w, "\"%d more\"", l.Len()-i)
			break
		}
		w.value(f, l.Get(i))
	}
	w.WriteByte(']')
}

func (w *summary) value(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		w.message(v.Message())
	case protoreflect.BytesKind:
		fmt.Fprintf(w, "\"%d bytes\"", len(v.Bytes()))
	case protoreflect.StringKind:
		s := v.String()
		if slices.ContainsFunc(secret, func(word string) bool { return strings.Contains(string(f.Name()), word) }) {
			s = "(not shown)"
		}
		if len(s) > summaryString {
			s = strings.ToValidUTF8(s[:summaryString], "") + "..."
		}
		quoted, _ := json.Marshal(s) // a string always can be
		w.Write(quoted)
	case protoreflect.EnumKind:
		if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
			fmt.Fprintf(w, "%q", d.Name())
			return
		}
		fmt.Fprintf(w, "%d", v.Enum())
	default:
		fmt.Fprintf(w, "%v", v.Interface())
	}
}
