package pluginapi

import (
	"cmp"
	"runtime"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// answer is what a call has come to; a nil verdict lets it pass unchanged.
type answer struct {
	seq     uint64
	verdict *pluginv1.Verdict
}

// answers gathers the answers of a stream. While one message is on its way the
// next ones gather, so that few messages carry many answers and none waits for
// a clock.
type answers struct {
	send func(*pluginv1.InterceptStreamResponse) error

	mu      sync.Mutex // guards the fields below
	wake    sync.Cond  // one of them has changed
	waiting []answer
	held    bool
	closed  bool
}

func newAnswers(send func(*pluginv1.InterceptStreamResponse) error) *answers {
	a := &answers{send: send}
	a.wake.L = &a.mu
	return a
}

// add adds the answers to calls; it never blocks.
func (a *answers) add(calls []*openCall) {
	a.mu.Lock()
	for _, o := range calls {
		a.waiting = append(a.waiting, answer{o.place.seq, o.verdict})
	}
	a.mu.Unlock()
	a.wake.Signal()
}

// hold keeps answers back until it is called with false: more are to come at
// once.
func (a *answers) hold(held bool) {
	a.mu.Lock()
	a.held = held
	a.mu.Unlock()
	a.wake.Signal()
}

// close lets run end when it has sent everything.
func (a *answers) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.wake.Signal()
}

// run sends answers until close was called, or returns the error of send.
func (a *answers) run() error {
	var batch []answer
	for {
		batch = a.take(batch[:0])
		if len(batch) == 0 {
			return nil
		}
		for _, resp := range responses(batch) {
			if err := a.send(resp); err != nil {
				return err
			}
		}
		clear(batch)
	}
}

// take waits for answers and returns all there are; none means closed. into is
// the memory for those to come.
func (a *answers) take(into []answer) []answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	for (len(a.waiting) == 0 || a.held) && !a.closed {
		a.wake.Wait()
		// The other calls of the frame are about to be decided: let them.
		a.mu.Unlock()
		runtime.Gosched()
		a.mu.Lock()
	}
	taken := a.waiting
	a.waiting = into
	return taken
}

// responses packs answers. Calls that pass are ranges of their numbers.
func responses(batch []answer) []*pluginv1.InterceptStreamResponse {
	slices.SortFunc(batch, func(x, y answer) int { return cmp.Compare(x.seq, y.seq) })
	resp := new(pluginv1.InterceptStreamResponse)
	all := []*pluginv1.InterceptStreamResponse{resp}
	size := 0
	for _, x := range batch {
		if x.verdict == nil {
			resp.Passed = appendSeq(resp.Passed, x.seq)
			continue
		}
		// A few changed payloads may be more than one message can hold.
		if n := proto.Size(x.verdict); size > 0 && size+n > maxPart {
			resp, size = new(pluginv1.InterceptStreamResponse), 0
			all = append(all, resp)
		} else {
			size += n
		}
		resp.Verdicts = append(resp.Verdicts, x.verdict)
	}
	return all
}

// appendSeq adds a number above all others to ranges.
func appendSeq(ranges []*pluginv1.SeqRange, seq uint64) []*pluginv1.SeqRange {
	if n := len(ranges); n > 0 && ranges[n-1].FirstSeq+uint64(ranges[n-1].Count) == seq {
		ranges[n-1].Count++
		return ranges
	}
	return append(ranges, &pluginv1.SeqRange{FirstSeq: seq, Count: 1})
}
