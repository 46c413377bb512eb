package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

type pluginLockCmd struct {
	Names     []string `arg:"" optional:"" name:"name" help:"Plugins whose files are accepted; all, if none are named." predictor:"plugin"`
	Config    string   `help:"Configuration file." placeholder:"FILE"`
	PluginDir string   `help:"Folder of plugins." placeholder:"DIR"`
	File      string   `help:"Lock file (default: plugins.lock in the folder of plugins)." placeholder:"FILE"`
}

// Run writes the lock file and says what it has for each plugin.
func (cmd *pluginLockCmd) Run(t *terminal) error {
	cfg := new(config)
	if cmd.Config != "" {
		var err error
		if cfg, err = loadConfig(cmd.Config); err != nil {
			return err
		}
	}
	plugins, err := cfg.pluginConfigs()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	locked, err := pluginhost.Lock(ctx, pluginhost.Options{
		PluginDir: cmp.Or(cmd.PluginDir, cfg.PluginDir), LockFile: cmp.Or(cmd.File, cfg.PluginsLock), Plugins: plugins,
	}, cmd.Names)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, l := range locked {
		switch {
		case l.Hash == "":
			fmt.Fprintf(w, "%s\tremoved\t%s\n", l.Name, l.Old)
		case l.Old == "":
			fmt.Fprintf(w, "%s\tadded\t%s\n", l.Name, l.Hash)
		case l.Old == l.Hash:
			fmt.Fprintf(w, "%s\tunchanged\t%s\n", l.Name, l.Hash)
		default:
			fmt.Fprintf(w, "%s\tchanged\t%s, it was %s\n", l.Name, l.Hash, l.Old)
		}
	}
	return w.Flush()
}
