package main

import (
	"io"
	"log/slog"
)

// newLogger returns a logger and the variable that changes its level.
func newLogger(w io.Writer, format, level string) (*slog.Logger, *slog.LevelVar) {
	lv := new(slog.LevelVar)
	setLevel(lv, level)
	o := &slog.HandlerOptions{Level: lv}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), lv
	}
	return slog.New(slog.NewTextHandler(w, o)), lv
}

// setLevel takes "" for info.
func setLevel(lv *slog.LevelVar, level string) {
	if lv.UnmarshalText([]byte(level)) != nil {
		lv.Set(slog.LevelInfo)
	}
}
