package cmd

import (
	"net/netip"
	"reflect"
	"testing"

	"roost/gateway"
	"roost/gateway/origin"
)

// TestGatewayFlags: what a flag says is what the gateway does.
func TestGatewayFlags(t *testing.T) {
	f := gatewayFlags{MaxDevices: 1, MaxGroupMembers: 2, GroupPushLimit: 3, Events: true, AllowedOrigins: []string{"a.example"}, TrustedProxies: []string{"10.1.2.3/8"},
		FullInboxIdle: 4, Heartbeat: 5, Limits: "on", ConnectionsPerUser: 6, ConnectionsPerAddress: 7, FramesPerSecond: 8, SendsPerSecond: 9, LoginsPerSecond: 10,
		ReserveNames: 11, AuthJWKS: "/nowhere/jwks"}
	origins, err := origin.ParseAllowed([]string{"a.example"})
	if err != nil {
		t.Fatal(err)
	}
	want := gateway.Options{MaxDevices: 1, MaxGroupMembers: 2, GroupPushLimit: 3, Events: true, AllowedOrigins: origins, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		FullInboxIdle: 4, ReserveNames: 11, Heartbeat: 5, Limits: gateway.Limits{ConnectionsPerUser: 6, ConnectionsPerAddress: 7, FramesPerSecond: 8, SendsPerSecond: 9, LoginsPerSecond: 10}}
	var got gateway.Options
	if _, err := f.configure(&got, ""); err == nil {
		t.Error("a key set that is missing was taken")
	}
	got.Auth = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the gateway's options are %+v, not %+v", got, want)
	}
}
