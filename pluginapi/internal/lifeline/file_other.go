//go:build !unix

package lifeline

import (
	"errors"
	"os"
)

// file fails: open files are not inherited by number here.
func file(uintptr) (*os.File, error) { return nil, errors.ErrUnsupported }
