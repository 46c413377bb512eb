// Command chaos kills a broker, its plugins and its clients at random, again and
// again, while messages flow, and proves from its own books that nothing that
// was acknowledged is lost, nothing of QoS 2 comes twice, and nothing overtakes
// what its publisher sent before.
//
//	chaos -kills 1000 -seed 7
//
// Around the kills its store is damaged: what is not synced is cut off, as a power
// cut does it, or a bit is flipped; or each k-th call that writes fails, or the disk
// is slow, while it runs and while it starts. The books know what may be gone then,
// and that nothing else may. -faults=false does without; a broker that can be used
// so is built with the tag faults. With -full its data is on a small disk that is
// full now and then.
//
// It prints one line, "kills=... acked=... lost=0 doubled=0 disorder=0 ...",
// and ends with status 1 if anything is not as it should be; the folder with the
// broker's data and log is then left. With -soak the broker is never killed, and
// its memory has to stay flat. Equal seeds make equal choices of what
// is killed and when, as far as the machine lets them. It runs on Linux only.
package main
