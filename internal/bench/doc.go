// Command bench compares brokers on the machine it runs on: Gatehouse with and
// without plugins, mosquitto, mochi-mqtt, nats-server, and a null broker that
// shows what the machine allows. It starts each of them anew for each scenario,
// in turns, on a processor of their own where there is more than one, makes the
// load itself, counts what is lost, repeated or out of order, and prints medians
// and ratios.
//
// The figure to trust is the processor time that a broker takes for a message:
// it hardly depends on what else the machine does. It runs on Linux only;
// docs/performance.md tells how to read what it says.
package main
