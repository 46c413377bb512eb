package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

func (o oneplugin) StartShadow(_ context.Context, req *adminv1.StartShadowRequest) (*adminv1.Shadow, error) {
	if req.GetPath() == "/bad" {
		return nil, errors.New("it does not start")
	}
	return o.Shadow(req.GetPlugin())
}

func (oneplugin) Shadow(plugin string) (*adminv1.Shadow, error) {
	if plugin != "authfile" {
		return nil, fmt.Errorf("nobody of this name: %w", admin.ErrUnknown)
	}
	return &adminv1.Shadow{Plugin: plugin}, nil
}

func (oneplugin) FollowShadow(_ context.Context, req *adminv1.FollowShadowRequest, tell func(*adminv1.FollowShadowResponse) error) error {
	return tell(&adminv1.FollowShadowResponse{Ended: &adminv1.Shadow{Plugin: req.GetPlugin()}})
}

func (o oneplugin) StopShadow(_ context.Context, plugin string) (*adminv1.Shadow, error) {
	return o.Shadow(plugin)
}

func TestShadowService(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	defer srv.Close()
	client := adminv1connect.NewShadowServiceClient(srv.Client(), srv.URL)
	start := func(name, path string, d int64) error {
		_, err := client.StartShadow(t.Context(), connect.NewRequest(&adminv1.StartShadowRequest{Plugin: name, Path: path, ForNanos: d}))
		return err
	}
	get := func(name string) error {
		_, err := client.GetShadow(t.Context(), connect.NewRequest(&adminv1.GetShadowRequest{Plugin: name}))
		return err
	}
	stop := func(name string) error {
		_, err := client.StopShadow(t.Context(), connect.NewRequest(&adminv1.StopShadowRequest{Plugin: name}))
		return err
	}
	for name, tt := range map[string]struct {
		err  error
		want connect.Code // 0: none
	}{
		"start":             {start("authfile", "/x", 1), 0},
		"start nobody's":    {start("nobody", "/x", 0), connect.CodeNotFound},
		"start nothing":     {start("authfile", "", 0), connect.CodeInvalidArgument},
		"start for no time": {start("authfile", "/x", -1), connect.CodeInvalidArgument},
		"start a bad one":   {start("authfile", "/bad", 0), connect.CodeFailedPrecondition},
		"get":               {get("authfile"), 0},
		"get nobody's":      {get("nobody"), connect.CodeNotFound},
		"stop":              {stop("authfile"), 0},
		"stop nobody's":     {stop("nobody"), connect.CodeNotFound},
	} {
		if tt.want == 0 && tt.err != nil || tt.want != 0 && connect.CodeOf(tt.err) != tt.want {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	stream, err := client.FollowShadow(t.Context(), connect.NewRequest(&adminv1.FollowShadowRequest{Plugin: "authfile"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	if !stream.Receive() || stream.Msg().GetEnded().GetPlugin() != "authfile" || stream.Receive() || stream.Err() != nil {
		t.Errorf("%v, %v", stream.Msg(), stream.Err())
	}
}
