package script

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"
)

// maxUpdates bounds the tries of an atomic update against others.
const maxUpdates = 100

var sharedBuiltins = []builtin{
	{
		name: "read_shared_data", params: "key, default=None", fn: readShared,
		doc: "A value that scripts share, with all other plugins too; it is in the broker's memory and survives the plugin, not the broker. Scope `shared.read`.",
	},
	{
		name: "write_shared_data", params: "key, value", fn: writeShared,
		doc: "Writes a shared value: what JSON can hold, or bytes. `None` removes the key. Scope `shared.write`.",
	},
	{
		name: "update_shared_data", params: "key, function, default=None", fn: updateShared,
		doc: "Changes a shared value in one step, whoever else does so at the same time: `function` is given the value and returns the new one; it may be called more than once. " +
			"Returns the new value. `update_shared_data(\"count\", lambda n: n + 1, 0)` counts. Scopes `shared.read` and `shared.write`.",
	},
}

func readShared(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var def starlark.Value = starlark.None
	if err := starlark.UnpackArgs("read_shared_data", args, kwargs, "key", &key, "default?", &def); err != nil {
		return nil, err
	}
	return asked(c, "read_shared_data", c.set.options.Broker.Shared, func(ctx context.Context, p Shared) (starlark.Value, error) {
		value, version, err := p.Get(ctx, key)
		if err != nil || version == 0 {
			return def, err
		}
		return unpacked(value), c.charge(4 * int64(len(value)))
	})
}

// packedShared packs a value to be shared.
func packedShared(c *call, v starlark.Value) ([]byte, error) {
	b, err := packed(c, v)
	if err != nil {
		return nil, err
	}
	return b, c.fits("a shared value", len(b))
}

func writeShared(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var value starlark.Value
	if err := starlark.UnpackArgs("write_shared_data", args, kwargs, "key", &key, "value", &value); err != nil {
		return nil, err
	}
	return asked(c, "write_shared_data", c.set.options.Broker.Shared, func(ctx context.Context, p Shared) (starlark.Value, error) {
		if value == starlark.None {
			return starlark.None, p.Delete(ctx, key)
		}
		b, err := packedShared(c, value)
		if err == nil {
			_, err = p.Put(ctx, key, b)
		}
		return starlark.None, err
	})
}

func updateShared(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var f starlark.Callable
	var def starlark.Value = starlark.None
	if err := starlark.UnpackArgs("update_shared_data", args, kwargs, "key", &key, "function", &f, "default?", &def); err != nil {
		return nil, err
	}
	thread := c.thread
	return asked(c, "update_shared_data", c.set.options.Broker.Shared, func(ctx context.Context, p Shared) (starlark.Value, error) {
		for range maxUpdates {
			old, version, err := p.Get(ctx, key)
			if err != nil {
				return nil, err
			}
			was := def
			if version != 0 {
				was = unpacked(old)
				if err := c.charge(4 * int64(len(old))); err != nil {
					return nil, err
				}
			}
			now, err := starlark.Call(thread, f, starlark.Tuple{was}, nil)
			if err != nil {
				return nil, err
			}
			if now == starlark.None {
				return nil, errors.New("the function returned None: return the new value")
			}
			b, err := packedShared(c, now)
			if err != nil {
				return nil, err
			}
			written, _, err := p.PutIf(ctx, key, b, version)
			if err != nil || written {
				return now, err
			}
		}
		return nil, fmt.Errorf("others changed %q each time of %d", key, maxUpdates)
	})
}
