package broker

import (
	"bytes"
	"fmt"
	"sync"
)

// Shared is a small store of keys and values, in memory, that all who program
// the broker have in common. Its methods may be called from many goroutines.
type Shared struct {
	mu sync.Mutex // guards the fields below

	maxKeys, maxBytes int

	values  map[string]sharedValue
	bytes   int    // of keys and values
	version uint64 // of the last change
}

type sharedValue struct {
	value   []byte
	version uint64
}

// setLimits changes how much there may be. What is there stays.
func (s *Shared) setLimits(keys, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxKeys, s.maxBytes = keys, bytes
}

// Shared returns the data that is shared.
func (b *Broker) Shared() *Shared { return &b.shared }

// Get returns the value of a key, a copy, and its version; version 0 says that
// there is none.
func (s *Shared) Get(key string) (value []byte, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values[key]
	return bytes.Clone(v.value), v.version
}

// Put writes the value of a key and returns its version, which no value of any
// key had before. The error wraps ErrInvalid if the key is empty, and ErrQuota
// if there is no room ([Limits.SharedKeys], [Limits.SharedBytes]).
func (s *Shared) Put(key string, value []byte) (version uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(key, value)
}

// PutIf is Put if the key has a version (0: if it does not exist); else it
// changes nothing, written is false, and version is the one that the key has.
func (s *Shared) PutIf(key string, value []byte, has uint64) (written bool, version uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := s.values[key].version; is != has {
		return false, is, nil
	}
	version, err = s.put(key, value)
	return err == nil, version, err
}

// put writes. mu is held.
func (s *Shared) put(key string, value []byte) (uint64, error) {
	if key == "" {
		return 0, fmt.Errorf("%w: the key is empty", ErrInvalid)
	}
	old, exists := s.values[key]
	size := s.bytes + len(value) - len(old.value)
	if !exists {
		size += len(key)
	}
	if !exists && len(s.values) >= s.maxKeys {
		return 0, fmt.Errorf("%w: shared data has %d keys, no more may be added", ErrQuota, s.maxKeys)
	}
	if size > s.maxBytes && size > s.bytes {
		return 0, fmt.Errorf("%w: shared data would have more than %d bytes", ErrQuota, s.maxBytes)
	}
	if s.values == nil {
		s.values = make(map[string]sharedValue)
	}
	s.version++
	s.bytes = size
	s.values[key] = sharedValue{append(make([]byte, 0, len(value)), value...), s.version}
	return s.version, nil
}

// Delete removes a key and reports whether it existed.
func (s *Shared) Delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(key)
}

// DeleteIf is Delete if the key has a version; else it changes nothing, deleted
// is false, and is tells the version that the key has. A key that does not exist
// has version 0.
func (s *Shared) DeleteIf(key string, has uint64) (deleted bool, is uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is = s.values[key].version; is != has {
		return false, is
	}
	s.remove(key)
	return true, 0
}

// remove removes a key. mu is held.
func (s *Shared) remove(key string) bool {
	old, exists := s.values[key]
	if exists {
		s.bytes -= len(key) + len(old.value)
		delete(s.values, key)
	}
	return exists
}
