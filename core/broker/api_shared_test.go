package broker_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
)

func TestShared(t *testing.T) {
	s := broker.New(broker.Options{}).Shared()
	if v, version := s.Get("k"); v != nil || version != 0 {
		t.Errorf("nothing: %q, %d", v, version)
	}
	value := []byte("one")
	first, err := s.Put("k", value)
	if first == 0 || err != nil {
		t.Fatalf("got %d, %v", first, err)
	}
	value[0] = 'X' // it keeps a copy
	v, version := s.Get("k")
	if string(v) != "one" || version != first {
		t.Errorf("got %q, %d", v, version)
	}
	v[0] = 'Y'
	if v, _ := s.Get("k"); string(v) != "one" {
		t.Errorf("the copy is shared: %q", v)
	}
	if written, is, err := s.PutIf("k", nil, 0); written || is != first || err != nil {
		t.Errorf("put if absent: %v, %d, %v", written, is, err)
	}
	written, second, err := s.PutIf("k", nil, first)
	if !written || second <= first || err != nil {
		t.Errorf("put if: %v, %d, %v", written, second, err)
	}
	if v, version := s.Get("k"); v == nil || len(v) != 0 || version != second {
		t.Errorf("an empty value: %v, %d", v, version)
	}
	if deleted, is := s.DeleteIf("k", first); deleted || is != second {
		t.Errorf("delete if: %v, %d", deleted, is)
	}
	if deleted, is := s.DeleteIf("k", second); !deleted || is != 0 {
		t.Errorf("delete if: %v, %d", deleted, is)
	}
	if s.Delete("k") {
		t.Error("it was deleted already")
	}
	if third, _ := s.Put("k", nil); third <= second {
		t.Error("a version came again")
	}
	if _, err := s.Put("", nil); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
}

func TestSharedBounds(t *testing.T) {
	s := broker.New(broker.Options{Limits: broker.Limits{SharedKeys: 2, SharedBytes: 10}}).Shared()
	put := func(key, value string, fits bool) {
		t.Helper()
		if _, err := s.Put(key, []byte(value)); (err == nil) != fits || err != nil && !errors.Is(err, broker.ErrQuota) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	put("a", "1234567890", false)
	put("a", "1234", true)
	put("b", "12345", false)
	put("b", "1234", true)
	put("c", "", false)
	put("a", "12345", false)
	put("a", "", true)
	put("b", "12345678", true)
	if written, is, err := s.PutIf("c", nil, 0); written || is != 0 || !errors.Is(err, broker.ErrQuota) {
		t.Errorf("got %v, %d, %v", written, is, err)
	}
	s.Delete("b")
	put("c", "12345678", true)
}

// Counting by compare and set loses nothing.
func TestSharedCompareAndSet(t *testing.T) {
	s := broker.New(broker.Options{}).Shared()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for done := 0; done < 100; {
				v, version := s.Get("n")
				n, _ := strconv.Atoi(string(v))
				if written, _, err := s.PutIf("n", strconv.AppendInt(nil, int64(n+1), 10), version); err != nil {
					t.Error(err)
					return
				} else if written {
					done++
				}
			}
		})
	}
	wg.Wait()
	if v, _ := s.Get("n"); string(v) != "400" {
		t.Errorf("got %s", v)
	}
}
