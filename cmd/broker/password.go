package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

type passwordCmd struct {
	Memory uint32 `help:"Memory that checking the password takes, in KiB." default:"19456"`
	Time   uint32 `help:"Passes over that memory." default:"2"`
}

func (cmd passwordCmd) Run(t *terminal) error {
	secret, err := readPassword(t)
	if err != nil {
		return err
	}
	if len(secret) == 0 {
		return errors.New("the password is empty")
	}
	hash, err := password.Hash(secret, password.Params{Memory: cmd.Memory, Time: cmd.Time})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, hash)
	return err
}

// readPassword asks twice on a terminal, and otherwise takes the first line.
func readPassword(t *terminal) ([]byte, error) {
	f, ok := t.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(t.in).ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(t.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(t.err)
		return b, err
	}
	first, err := ask("Password: ")
	if err != nil {
		return nil, err
	}
	second, err := ask("Again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the passwords differ")
	}
	return first, nil
}
