package peer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor times in /proc: 100 in a second on every
// system that Go runs on.
const tick = 10 * time.Millisecond

// Usage is what processes have used.
type Usage struct {
	CPU      time.Duration // user and system
	Resident uint64        // bytes
}

// Usage reads what the broker itself has used.
func (p *Process) Usage() (Usage, error) { return usage(p.PID) }

// Children reads what all its descendants have used together.
func (p *Process) Children() (Usage, error) {
	parents, err := processes()
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	for pid := range parents {
		if pid != p.PID && descends(parents, pid, p.PID) {
			u, err := usage(pid)
			if err != nil {
				continue // it ended meanwhile
			}
			sum.CPU += u.CPU
			sum.Resident += u.Resident
		}
	}
	return sum, nil
}

func usage(pid int) (Usage, error) {
	fields, err := stat(pid)
	if err != nil {
		return Usage{}, err
	}
	// Numbers as in proc(5), the first two of which stat leaves out.
	ticks := fields[14-3] + fields[15-3]
	pages := fields[24-3]
	return Usage{CPU: time.Duration(ticks) * tick, Resident: uint64(pages) * uint64(os.Getpagesize())}, nil
}

// stat reads /proc/PID/stat from its third field on. What is no number is 0.
func stat(pid int) ([]int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field, a name in parentheses, may hold anything.
	_, rest, ok := bytes.Cut(data[bytes.LastIndexByte(data, ')')+1:], []byte(" "))
	words := strings.Fields(string(rest))
	if !ok || len(words) < 24-2 {
		return nil, errors.New("/proc tells nothing of the process")
	}
	out := make([]int64, len(words))
	for i, w := range words {
		out[i], _ = strconv.ParseInt(w, 10, 64)
	}
	return out, nil
}

// processes maps each process to its parent.
func processes() (map[int]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	out := make(map[int]int, len(dirs))
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		if fields, err := stat(pid); err == nil {
			out[pid] = int(fields[4-3])
		}
	}
	return out, nil
}

func descends(parents map[int]int, pid, ancestor int) bool {
	for ; pid > 1; pid = parents[pid] {
		if pid == ancestor {
			return true
		}
	}
	return false
}
