// Package plugintest tests plugins.
//
// [Start] runs a plugin inside of the test, over a real gRPC connection, and
// [Launch] runs a plugin's program as the broker would. Both give a [Plugin],
// which has the methods of the hooks themselves: a plugin with a Validator is
// called by ValidateConnection, one with a Store by Load and Apply. What it is
// given has been encoded and decoded once, and what it changes comes back as
// what would reach the broker.
//
//	p := plugintest.Start(t, plugin(), plugintest.Config(`{"users": "users.yaml"}`))
//	d, err := p.ValidateConnection(ctx, plugintest.Connect("sensor-1", plugintest.Credentials("anna", "secret")))
//
// [RunMain] turns the test binary into plugins by the name under which it is
// started, so that a test of the whole program needs nothing built: [Install]
// puts the test binary under such a name into a plugin directory.
//
// [TestStore] is what every store of retained messages has to pass.
package plugintest
