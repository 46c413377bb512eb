package main

import (
	"context"
	"path/filepath"

	"github.com/gatehouse-mqtt/gatehouse/core/quota"
)

// openQuotas opens the ledger of quotas and lets it be written; closing it writes
// it for the last time.
func (s *server) openQuotas() (closing func() error, err error) {
	s.quotas, err = quota.Open(quota.Options{Path: filepath.Join(s.cfg.DataDir, "quotas.json"), Logger: s.log})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.quotas.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}
