package hooks

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// follow begins to look after the folder of a generation.
func (p *scripts) follow(ctx context.Context, g *generation) {
	if g.config.Folder == "" {
		return
	}
	p.watch = newWatch(g.config.Folder, g.seen, p.setup.Logger, p.reload)
	p.watch.start(ctx)
}

// unfollow ends that, and waits for a change that is being taken over.
func (p *scripts) unfollow() {
	p.watch.stop()
	p.watch = nil
}

// errValidatorGone keeps a broker from being opened by a file that is moved or
// misspelled.
var errValidatorGone = errors.New("on_validate_client_connection is gone, and without it nobody decides who may connect: " +
	"put it back, or, if that is meant, run \"broker plugin reload script\"")

// reload takes over what was saved. Scripts that are broken leave those that run
// in place.
func (p *scripts) reload(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now.Load()
	g, err := p.load(ctx, old.config)
	if err == nil && old.set.Validates() && !g.set.Validates() {
		err = errValidatorGone
	}
	if err == nil {
		err = p.switchTo(ctx, old, g)
	}
	if err != nil {
		p.refuse(err)
		return
	}
	p.setup.Logger.Info("scripts are taken over", slog.Any("scripts", g.set.Scripts()), slog.Any("hooks", g.set.Hooks()))
}

// refuse says why what was saved is not in force.
func (p *scripts) refuse(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	p.broken.Store(&text)
	p.setup.Logger.Error("scripts are not taken over, those before go on", slog.String("error", text))
}

// switchTo takes a generation over with its interest. While both are there the
// broker asks for what either wants, so that no call goes by.
func (p *scripts) switchTo(ctx context.Context, old, g *generation) error {
	was, is := old.set.Interest(), g.set.Interest()
	same := reflect.DeepEqual(was, is)
	if !same {
		if err := p.ask(ctx, slices.Concat(was, is)); err != nil {
			return err
		}
	}
	err := p.take(ctx, g)
	if !same {
		if err != nil {
			is = was
		}
		err = errors.Join(err, p.ask(ctx, is))
	}
	return err
}

func (p *scripts) ask(ctx context.Context, interest []pluginapi.Interest) error {
	err := p.setup.Host.SetInterest(ctx, interest)
	if errors.Is(err, pluginapi.ErrNoHost) {
		return nil // a test: nobody asks by interest
	}
	return err
}
