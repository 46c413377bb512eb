package mosquitto

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// directive is one line of a configuration file.
type directive struct {
	file       string
	line       int
	key, value string
}

// readConf reads a configuration file with the files of its include_dir, in
// mosquitto's order.
func readConf(path string, depth int) (list []directive, err error) {
	if depth > 10 {
		return nil, fmt.Errorf("%s: include_dir is nested too deeply", path)
	}
	err = readLines(path, func(line int, text string) error {
		key, value, _ := strings.Cut(text, " ")
		d := directive{path, line, key, strings.TrimSpace(value)}
		if key != "include_dir" {
			list = append(list, d)
			return nil
		}
		files, err := os.ReadDir(d.value)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, line, err)
		}
		for _, f := range files { // in the order of their names
			if filepath.Ext(f.Name()) != ".conf" {
				continue
			}
			more, err := readConf(filepath.Join(d.value, f.Name()), depth+1)
			if err != nil {
				return err
			}
			list = append(list, more...)
		}
		return nil
	})
	return list, err
}

// readLines tells of the lines that are neither empty nor comments.
func readLines(path string, tell func(line int, text string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		text := strings.TrimSpace(strings.ReplaceAll(sc.Text(), "\t", " "))
		if text == "" || text[0] == '#' {
			continue
		}
		if err := tell(n, text); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Note is something that a person has to look at.
type Note struct {
	File string
	Line int // 0: of the file as a whole
	Text string
}

func (n Note) String() string {
	if n.Line == 0 {
		return n.File + ": " + n.Text
	}
	return fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Text)
}

// sortNotes sorts by files, in the order in which they are there, and lines.
func sortNotes(notes []Note) {
	at := make(map[string]int)
	for _, n := range notes {
		if _, ok := at[n.File]; !ok {
			at[n.File] = len(at)
		}
	}
	slices.SortStableFunc(notes, func(a, b Note) int {
		return cmp.Or(at[a.File]-at[b.File], a.Line-b.Line)
	})
}
