package main

import (
	"fmt"
	"strings"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type subscriptionCmd struct {
	List   subscriptionListCmd   `cmd:"" help:"List subscriptions."`
	Add    subscriptionAddCmd    `cmd:"" help:"Subscribe on behalf of a client, connected or not."`
	Remove subscriptionRemoveCmd `cmd:"" help:"Unsubscribe on behalf of a client."`
}

type subscriptionListCmd struct {
	listFlags
	Client string `help:"Only of client identifiers that match." placeholder:"PATTERN"`
	Filter string `help:"Only this very filter." placeholder:"FILTER"`
	Topic  string `help:"Only those that a message of this topic would reach." placeholder:"TOPIC"`
	Group  string `help:"Only shared subscriptions of this group." placeholder:"NAME"`
}

// Run lists subscriptions.
func (cmd *subscriptionListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewSubscriptionServiceClient)
	if err != nil {
		return err
	}
	req := &adminv1.ListSubscriptionsRequest{ClientId: cmd.Client, Filter: cmd.Filter, Topic: cmd.Topic, Group: cmd.Group}
	return printList(&cmd.listFlags, t, "CLIENT\tFILTER\tQOS\tOPTIONS",
		func(cursor string, n uint32) ([]*adminv1.Subscription, string, error) {
			req.Cursor, req.Limit = cursor, n
			page, err := callAdmin(client.ListSubscriptions, req)
			return page.GetSubscriptions(), page.GetNextCursor(), err
		},
		func(s *adminv1.Subscription) []string {
			_, options, _ := strings.Cut(subscriptionOptions(s), ", ")
			return []string{printable(s.GetClientId()), printable(s.GetFilter()), fmt.Sprint(s.GetQos()), orDash(options)}
		})
}

// subscriptionOptions are those that differ from the defaults, QoS first.
func subscriptionOptions(s *adminv1.Subscription) string {
	list := []string{fmt.Sprintf("QoS %d", s.GetQos())}
	if s.GetNoLocal() {
		list = append(list, "no local")
	}
	if s.GetRetainAsPublished() {
		list = append(list, "retain as published")
	}
	switch s.GetRetainHandling() {
	case 1:
		list = append(list, "retained if new")
	case 2:
		list = append(list, "no retained")
	}
	if id := s.GetIdentifier(); id != 0 {
		list = append(list, fmt.Sprintf("identifier %d", id))
	}
	return strings.Join(list, ", ")
}

type subscriptionAddCmd struct {
	oneSession
	Filters           []string `arg:"" help:"Filters, with the mountpoint if there is one."`
	QoS               uint32   `name:"qos" short:"q" help:"Quality of service, 0 to 2."`
	NoLocal           bool     `help:"Not what the client itself publishes."`
	RetainAsPublished bool     `help:"Leave the RETAIN flag as it was published."`
	RetainHandling    uint32   `help:"0: retained messages are sent; 1: if the subscription is new; 2: never." placeholder:"N"`
	Identifier        uint32   `help:"Subscription Identifier." placeholder:"N"`
}

// Run subscribes.
func (cmd *subscriptionAddCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewSubscriptionServiceClient)
	if err != nil {
		return err
	}
	req := &adminv1.AddSubscriptionsRequest{ClientId: cmd.ID}
	for _, f := range cmd.Filters {
		req.Subscriptions = append(req.Subscriptions, &adminv1.Subscription{
			Filter: f, Qos: cmd.QoS, NoLocal: cmd.NoLocal, RetainAsPublished: cmd.RetainAsPublished,
			RetainHandling: cmd.RetainHandling, Identifier: cmd.Identifier,
		})
	}
	res, err := callAdmin(client.AddSubscriptions, req)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = writeJSONLine(t.out, res)
	} else {
		for i, code := range res.GetReasonCodes() {
			if code < 0x80 {
				fmt.Fprintf(t.out, "%s is subscribed to %s with QoS %d\n", printable(cmd.ID), printable(cmd.Filters[i]), code)
			}
		}
	}
	if refused := refusedCodes(cmd.Filters, res.GetReasonCodes()); refused != nil {
		return refused
	}
	return err
}

type subscriptionRemoveCmd struct {
	oneSession
	Filters []string `arg:"" help:"Filters, as they were subscribed."`
}

// Run unsubscribes.
func (cmd *subscriptionRemoveCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewSubscriptionServiceClient)
	if err != nil {
		return err
	}
	res, err := callAdmin(client.RemoveSubscriptions, &adminv1.RemoveSubscriptionsRequest{ClientId: cmd.ID, Filters: cmd.Filters})
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = writeJSONLine(t.out, res)
	}
	missing := 0
	for i, code := range res.GetReasonCodes() {
		if code == noSubscription {
			missing++
			fmt.Fprintf(t.err, "%s was not subscribed to %s\n", printable(cmd.ID), printable(cmd.Filters[i]))
		}
	}
	switch refused := refusedCodes(cmd.Filters, res.GetReasonCodes()); {
	case refused != nil:
		return refused
	case missing == len(cmd.Filters):
		return exitError(exitNotFound)
	case err == nil && !cmd.JSON:
		fmt.Fprintf(t.out, "%d subscriptions removed\n", len(cmd.Filters)-missing)
	}
	return err
}

// noSubscription is UNSUBACK's code for a filter that was not subscribed.
const noSubscription = 0x11
