package pluginhost

import "time"

// timing holds every pause and bound of the process half.
type timing struct {
	describe time.Duration // for "PROGRAM describe"
	linger   time.Duration // reading output after an exit
	dying    time.Duration // between asking for stacks and SIGKILL
	reap     time.Duration // waiting for a process that was sent SIGKILL

	healthEvery time.Duration
	healthLimit time.Duration
	healthMiss  int // missed checks in a row that end an instance

	drain    time.Duration // for Drain
	settle   time.Duration // for the answers that are on their way then
	stop     time.Duration // for Stop
	leave    time.Duration // between a good Stop and the exit
	shutdown time.Duration // for go-plugin's Shutdown, and the exit after it
	term     time.Duration // between SIGTERM and SIGKILL

	firstPause   time.Duration // before the first start after a failure
	longestPause time.Duration
	steady       time.Duration // Ready for so long makes pauses short again
	window       time.Duration // in which failures are counted
	attachPause  time.Duration // the longest pause for attached plugins
	poll         time.Duration // between looks at files of a plugin that failed
	watch        time.Duration // between looks at files of one that runs; they have to be the same twice

	handover  time.Duration // for the calls that a replaced instance has
	probation time.Duration // in which a replaced instance stands by
}

var defaultTiming = timing{
	describe: defaultStartTimeout, // a machine that boots is slow
	linger:   200 * time.Millisecond,
	dying:    300 * time.Millisecond,
	reap:     2 * time.Second,

	healthEvery: 5 * time.Second,
	healthLimit: 2 * time.Second,
	healthMiss:  3,

	drain:    2 * time.Second,
	settle:   500 * time.Millisecond,
	stop:     5 * time.Second,
	leave:    time.Second,
	shutdown: time.Second,
	term:     time.Second,

	firstPause:   250 * time.Millisecond,
	longestPause: 30 * time.Second,
	steady:       time.Minute,
	window:       10 * time.Minute,
	attachPause:  2 * time.Second,
	poll:         500 * time.Millisecond,
	watch:        time.Second,

	handover:  30 * time.Second,
	probation: 10 * time.Second,
}

const defaultMaxFailures = 5
