package conformance

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// relic is a process that a plugin left behind.
type relic struct {
	pid     int
	command string
}

// relics are the processes whose environment has a mark. There are none where
// there is no /proc. What has ended and waits to be reaped is not there.
func relics(mark string) []relic {
	var left []relic
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file) // that of other users can't be read, and is none of ours
		if err != nil || !bytes.Contains(env, []byte(mark)) {
			continue
		}
		dir := filepath.Dir(file)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		words := bytes.ReplaceAll(bytes.TrimRight(command, "\x00"), []byte{0}, []byte{' '})
		left = append(left, relic{pid, shortened(string(words))})
	}
	return left
}
