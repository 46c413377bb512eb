package pluginapi

import (
	"bytes"
	"fmt"
	"slices"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// messageChange compares a message that a hook had with what it was given and
// returns what differs, nil for nothing. Only that goes back to the broker: most
// messages pass as they are, and a payload that was shown in part must not come
// back as if that part were all.
func messageChange(was, is *Message) (*pluginv1.MessageChange, error) {
	if is == nil {
		return nil, fmt.Errorf("the message of the call was set to nil; return Drop() to drop it")
	}
	if same(was, is) {
		return nil, nil
	}
	c := new(pluginv1.MessageChange)
	changed := changeText(was.Topic, is.Topic, &c.Topic)
	if !bytes.Equal(was.Payload, is.Payload) {
		// Present and empty must stay apart from absent.
		c.Payload, changed = append([]byte{}, is.Payload...), true
	}
	if was.QoS != is.QoS {
		q := uint32(is.QoS)
		c.Qos, changed = &q, true
	}
	if was.Retain != is.Retain {
		c.Retain, changed = &is.Retain, true
	}
	changed = changeOptional(was.PayloadIsUTF8, is.PayloadIsUTF8, &c.PayloadIsUtf8, &c.ClearPayloadFormat) || changed
	changed = changeOptional(was.Expiry, is.Expiry, &c.ExpirySeconds, &c.ClearExpiry) || changed
	changed = changeText(was.ContentType, is.ContentType, &c.ContentType) || changed
	changed = changeText(was.ResponseTopic, is.ResponseTopic, &c.ResponseTopic) || changed
	if !bytes.Equal(was.CorrelationData, is.CorrelationData) {
		c.CorrelationData, changed = append([]byte{}, is.CorrelationData...), true
	}
	if !slices.Equal(was.UserProperties, is.UserProperties) {
		c.UserProperties, changed = &pluginv1.UserPropertyList{UserProperties: userPropertiesToProto(is.UserProperties)}, true
	}
	if !changed {
		return nil, nil // but in what is the broker's
	}
	if err := checkMessage(is); err != nil {
		return nil, fmt.Errorf("changed message: %w", err)
	}
	return c, nil
}

// same is the short way for a message that nobody touched.
func same(was, is *Message) bool {
	return was.Topic == is.Topic && bytes.Equal(was.Payload, is.Payload) && was.QoS == is.QoS && was.Retain == is.Retain &&
		was.PayloadIsUTF8 == nil && is.PayloadIsUTF8 == nil && was.Expiry == nil && is.Expiry == nil &&
		was.ContentType == is.ContentType && was.ResponseTopic == is.ResponseTopic &&
		bytes.Equal(was.CorrelationData, is.CorrelationData) && slices.Equal(was.UserProperties, is.UserProperties)
}

func changeText(was, is string, to **string) bool {
	if was == is {
		return false
	}
	*to = &is
	return true
}

// changeOptional sets to, or clears, if a property differs.
func changeOptional[T comparable](was, is *T, to **T, clears *bool) bool {
	switch {
	case is == nil:
		*clears = was != nil
		return *clears
	case was != nil && *was == *is:
		return false
	default:
		*to = copyOf(is)
		return true
	}
}

// subscriptionChange returns the whole subscription if anything of it differs.
func subscriptionChange(was, is Subscription) (*pluginv1.Subscription, error) {
	if was == is {
		return nil, nil
	}
	out, err := subscriptionToProto(is)
	if err != nil {
		return nil, fmt.Errorf("changed subscription: %w", err)
	}
	return out, nil
}
