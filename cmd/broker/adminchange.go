package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
)

// errAdminTaken says that the admin API can't change in the way that was asked
// for while it is open.
var errAdminTaken = errors.New("the address of the admin API is in use by itself")

// adminChange is a new set of addresses of the admin API, of which everything
// that can go wrong has been tried. Either apply or discard has to follow.
type adminChange struct {
	list   []adminConfig
	fresh  []*adminDoor   // nil for an address that stays
	guards []*admin.Guard // who is let in
}

// plan tries a new set of addresses. An error changes nothing.
func (a *adminServer) plan(ctx context.Context, c adminConfig) (*adminChange, error) {
	list, err := c.addresses(a.server.cfg.RunDir)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &adminChange{list: list}
	for i := range list {
		g, err := a.server.guarded(&list[i])
		var d *adminDoor
		switch old := a.at(list[i].URL); {
		case err != nil:
		case old == nil:
			d, err = a.server.openDoor(ctx, &list[i])
			if errors.Is(err, syscall.EADDRINUSE) && slices.ContainsFunc(a.doors, func(d *adminDoor) bool { return holdsPort(d, list[i].URL) }) {
				err = errAdminTaken
			}
		case old.tls != nil:
			if err = certificate.Check(list[i].certificateOptions(a.server.log)); err != nil {
				err = fmt.Errorf("admin API: %w", err)
			}
		}
		if err != nil {
			out.discard()
			return nil, err
		}
		out.fresh, out.guards = append(out.fresh, d), append(out.guards, g)
	}
	return out, nil
}

func (c *adminChange) discard() {
	for _, d := range c.fresh {
		if d != nil {
			_ = d.close()
		}
	}
}

// apply puts a new set of addresses in the place of the old one.
func (a *adminServer) apply(c *adminChange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		c.discard()
		return
	}
	next := make([]*adminDoor, 0, len(c.list))
	for i := range c.list {
		d := c.fresh[i]
		if d == nil {
			d = a.at(c.list[i].URL)
			if d.tls != nil {
				if err := d.tls.Configure(c.list[i].certificateOptions(a.server.log)); err != nil {
					a.server.log.Error("the admin API keeps its certificates", "error", err)
				}
			}
		}
		d.config = c.list[i]
		d.guarded.Store(new(c.guards[i].Wrap(a.handler)))
		if d.srv == nil {
			a.serve(d)
		}
		next = append(next, d)
	}
	for _, old := range a.doors {
		if !slices.Contains(next, old) {
			a.leave(old)
		}
	}
	a.doors = next
}

// at is the open door of a URL, nil if there is none. The caller holds mu.
func (a *adminServer) at(url string) *adminDoor {
	for _, d := range a.doors {
		if d.config.URL == url {
			return d
		}
	}
	return nil
}
