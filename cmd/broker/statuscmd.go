package main

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type statusCmd struct{ adminFlags }

// Run tells how the broker is.
func (cmd *statusCmd) Run(t *terminal) error {
	client, err := cmd.client()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.GetStatus, connect.NewRequest(&adminv1.GetStatusRequest{}))
	if err != nil {
		return err
	}
	s := res.Msg
	if cmd.JSON {
		return writeJSONBlock(t.out, s)
	}
	return printRows(t.out, [][2]string{
		{"version", s.GetVersion()},
		{"pid", fmt.Sprint(s.GetPid())},
		{"started", time.Unix(0, s.GetStartedUnixNanos()).Format(time.RFC3339) + ", " + age(s.GetStartedUnixNanos()) + " ago"},
		{"listeners", orDash(strings.Join(s.GetListeners(), " "))},
		{"clients", fmt.Sprint(s.GetClients())},
		{"subscriptions", fmt.Sprint(s.GetSubscriptions())},
		{"retained", fmt.Sprint(s.GetRetained())},
		{"plugin folder", orDash(s.GetPluginDir())},
	})
}

type listenerCmd struct {
	List listenerListCmd `cmd:"" help:"List the open listeners and their connections."`
}

type listenerListCmd struct{ adminFlags }

// Run lists listeners.
func (cmd *listenerListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewListenerServiceClient)
	if err != nil {
		return err
	}
	all := &listFlags{adminFlags: cmd.adminFlags}
	return printList(all, t, "NAME\tURL\tCONNECTIONS\tTLS\tVALIDATORS\tMQTT\tMOUNTPOINT",
		func(string, uint32) ([]*adminv1.Listener, string, error) {
			res, err := callAdmin(client.ListListeners, &adminv1.ListListenersRequest{})
			return res.GetListeners(), "", err
		},
		func(l *adminv1.Listener) []string {
			connections := fmt.Sprint(l.GetConnections())
			if most := l.GetConnectionsLimit(); most > 0 {
				connections += fmt.Sprintf(" of %d", most)
			}
			secure := "-"
			if l.GetTls() {
				secure = "client certificates: " + l.GetClientCertificates()
			}
			validators := strings.Join(l.GetValidators(), ", ")
			switch {
			case l.GetAnonymous():
				validators = "none"
			case validators == "":
				validators = "all"
			}
			versions := strings.Join(l.GetVersions(), ", ")
			if versions == "" {
				versions = "all"
			}
			return []string{l.GetName(), l.GetUrl(), connections, secure, validators, versions, orDash(l.GetMountpoint())}
		})
}
