// Package logfile keeps retained messages in a file of JSON lines; it is all
// of the plugin retainjson.
//
// The file is a log: every change is a line at its end, and the newest line
// about a topic holds. So a change costs the same whether the file knows ten
// topics or a million, and a crash can only harm the end of the file, which
// the next start repairs. When too much of the file is out of date, a new one
// takes its place. The messages themselves stay on the disk; in memory is
// which line of the file is the newest for each topic.
//
//	s, err := logfile.Open(ctx, logfile.Options{Path: "retained.jsonl"})
//	go s.Run(ctx) // compaction
//	revision, err := s.Apply(ctx, changes)
//	err = s.Load(ctx, func(r pluginapi.Record) error { ... })
//	err = s.Close()
//
// The parts: [Store] with Apply, Load, Snapshot and Compact; recovery, which
// reads a file after a crash; index, what a file says; line, one line of it;
// [FileSystem], the seam at which tests make the disk fail. The format is
// described in the plugin's README.md.
package logfile
