// Package strictjson decodes a configuration into a struct that holds its
// defaults, and describes such a struct as a JSON Schema.
//
// It differs from encoding/json in what matters to the writer of a
// configuration: an unknown key is a problem that names the known ones and the
// one probably meant, keys are matched exactly, every problem says where it is
// as a JSON pointer, and all of them are found at once. It differs in what
// matters to the author of the struct: nothing is changed unless all is well,
// and default maps and slices are replaced or copied, never written to.
//
// Fields have the names of their json tags. Three tags of its own:
//
//	doc:"what it is for"    description in the schema
//	enum:"a,b"              the values that a string may have
//	required:"true"         the key must be there
//
// A time.Duration is written as a string, "1m30s". Types with UnmarshalText are
// strings, types with UnmarshalJSON are whatever they take.
package strictjson
