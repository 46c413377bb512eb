// Package plugins has the helper folders of the example plugins as files, for
// whoever begins a plugin with them.
package plugins

import (
	"embed"
	"io/fs"
)

//go:embed python-validator/gatehouse/*.py python-validator/gatehouse/plugin/v1/*.py
var python embed.FS

//go:embed node-interceptor/gatehouse/*.js node-interceptor/gatehouse/proto
//go:embed node-interceptor/package.json node-interceptor/package-lock.json
var node embed.FS

// Python holds the folder gatehouse of every plugin in Python.
func Python() fs.FS { return sub(python, "python-validator") }

// Node holds the folder gatehouse of every plugin for Node, and what npm needs
// to know.
func Node() fs.FS { return sub(node, "node-interceptor") }

func sub(all embed.FS, dir string) fs.FS {
	f, err := fs.Sub(all, dir)
	if err != nil {
		panic(err) // dir is no path
	}
	return f
}
