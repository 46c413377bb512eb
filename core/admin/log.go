package admin

import (
	"context"
	"fmt"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Log is the broker's log. Its methods are called from many goroutines at once.
type Log interface {
	// LogLevel tells the level in force; the message is the caller's.
	LogLevel() *adminv1.LogLevel
	// SetLogLevel puts a level in force, "" being the configured one, for a
	// while; 0 means until the configuration is read again. The error says that
	// there is no such level.
	SetLogLevel(level string, lasts time.Duration) error
}

// longestLevel bounds what is asked for.
const longestLevel = 366 * 24 * time.Hour

type logService struct{ log Log }

func (s *logService) GetLogLevel(context.Context, *adminv1.GetLogLevelRequest) (*adminv1.GetLogLevelResponse, error) {
	return &adminv1.GetLogLevelResponse{Level: s.log.LogLevel()}, nil
}

func (s *logService) SetLogLevel(_ context.Context, req *adminv1.SetLogLevelRequest) (*adminv1.SetLogLevelResponse, error) {
	lasts := time.Duration(req.GetForSeconds()) * time.Second
	if lasts > longestLevel {
		return nil, fmt.Errorf("%w: a level lasts at most a year", ErrInvalid)
	}
	if err := s.log.SetLogLevel(req.GetLevel(), lasts); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &adminv1.SetLogLevelResponse{Level: s.log.LogLevel()}, nil
}
