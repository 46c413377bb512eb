package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
)

// auditLog writes down who changed what through the admin API: in the broker's
// log, or in a file of its own. It implements admin.Audit.
type auditLog struct {
	log    *slog.Logger // the broker's
	inFile *slog.Logger

	mu   sync.Mutex // guards the field below
	file *os.File   // nil: lines go to the broker's log
}

func openAudit(path string, log *slog.Logger) (*auditLog, error) {
	a := &auditLog{log: log}
	a.inFile = slog.New(slog.NewJSONHandler(auditFile{a}, nil))
	file, err := openAuditFile(path)
	a.use(file)
	return a, err
}

// openAuditFile opens the file that lines go to, nil for "".
func openAuditFile(path string) (*os.File, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log.audit: %w", err)
	}
	return file, nil
}

// use has lines go to a file from now on, nil for the broker's log: to another
// one, or to the same anew after somebody has moved it away.
func (a *auditLog) use(file *os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		_ = a.file.Close()
	}
	a.file = file
}

// to is where lines go.
func (a *auditLog) to() *slog.Logger {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return a.log
	}
	return a.inFile
}

func (a *auditLog) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

// auditFile is where a handler writes; a line is one Write.
type auditFile struct{ of *auditLog }

// Write implements [io.Writer].
func (f auditFile) Write(b []byte) (int, error) {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	if f.of.file == nil {
		return 0, io.ErrClosedPipe
	}
	return f.of.file.Write(b)
}

// Audited implements admin.Audit.
func (a *auditLog) Audited(act admin.Action) {
	attrs := []slog.Attr{
		slog.String("call", act.Procedure), slog.String("result", act.Result), slog.String("request", act.Request),
		slog.String("by", act.Caller.Kind), slog.String("caller", act.Caller.Name), slog.Duration("took", act.Took),
	}
	if act.Caller.Address != "" {
		attrs = append(attrs, slog.String("address", act.Caller.Address))
	}
	if act.Requests != 1 {
		attrs = append(attrs, slog.Int("requests", act.Requests))
	}
	if act.Error != "" {
		attrs = append(attrs, slog.String("error", act.Error))
	}
	a.to().LogAttrs(context.Background(), slog.LevelInfo, "admin call", attrs...)
}

// withCaller says who is at the other end of a connection to the admin API.
func withCaller(ctx context.Context, nc net.Conn) context.Context {
	if nc.LocalAddr().Network() == "unix" {
		return admin.WithCaller(ctx, admin.Caller{Kind: "unix", Name: peerOf(nc)})
	}
	return admin.WithCaller(ctx, admin.Caller{Address: nc.RemoteAddr().String()})
}

// identified says of callers beyond the Unix socket what they have shown to the
// guard, who has let them pass.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := admin.CallerOf(r.Context())
		switch {
		case c.Kind != "":
		case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
			c.Kind, c.Name = "certificate", r.TLS.VerifiedChains[0][0].Subject.String()
		case r.Header.Get("Authorization") != "":
			c.Kind = "token"
		}
		next.ServeHTTP(w, r.WithContext(admin.WithCaller(r.Context(), c)))
	})
}
