// Command chaos kills a broker, its plugins and its clients at random, again and
// again, while messages flow, and proves from its own books that nothing that
// was acknowledged is lost, nothing of QoS 2 comes twice, and nothing overtakes
// what its publisher sent before.
//
//	chaos -kills 1000 -seed 7
//
// It prints one line, "kills=... acked=... lost=0 doubled=0 disorder=0 ...",
// and ends with status 1 if anything is not as it should be; the folder with the
// broker's data and log is then left. With -soak the broker is never killed, and
// its memory has to stay flat. Equal seeds make equal choices of what
// is killed and when, as far as the machine lets them. It runs on Linux only.
package main
