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
func messageChange(was *pluginv1.Message, is *Message) (*pluginv1.MessageChange, error) {
	if is == nil {
		return nil, fmt.Errorf("the message of the call was set to nil; return Drop() to drop it")
	}
	c := new(pluginv1.MessageChange)
	changed := changeText(was.GetTopic(), is.Topic, &c.Topic)
	if !bytes.Equal(was.GetPayload(), is.Payload) {
		// Present and empty must stay apart from absent.
		c.Payload, changed = append([]byte{}, is.Payload...), true
	}
	if QoS(was.GetQos()) != is.QoS {
		q := uint32(is.QoS)
		c.Qos, changed = &q, true
	}
	if was.GetRetain() != is.Retain {
		c.Retain, changed = &is.Retain, true
	}
	changed = changeOptional(was.PayloadIsUtf8, is.PayloadIsUTF8, &c.PayloadIsUtf8, &c.ClearPayloadFormat) || changed
	changed = changeOptional(was.ExpirySeconds, is.Expiry, &c.ExpirySeconds, &c.ClearExpiry) || changed
	changed = changeText(was.GetContentType(), is.ContentType, &c.ContentType) || changed
	changed = changeText(was.GetResponseTopic(), is.ResponseTopic, &c.ResponseTopic) || changed
	if !bytes.Equal(was.GetCorrelationData(), is.CorrelationData) {
		c.CorrelationData, changed = append([]byte{}, is.CorrelationData...), true
	}
	if !sameUserProperties(was.GetUserProperties(), is.UserProperties) {
		c.UserProperties, changed = &pluginv1.UserPropertyList{UserProperties: userPropertiesToProto(is.UserProperties)}, true
	}
	if !changed {
		return nil, nil
	}
	if err := checkMessage(is); err != nil {
		return nil, fmt.Errorf("changed message: %w", err)
	}
	return c, nil
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

func sameUserProperties(was []*pluginv1.UserProperty, is []UserProperty) bool {
	return slices.EqualFunc(was, is, func(a *pluginv1.UserProperty, b UserProperty) bool {
		return a.GetKey() == b.Key && a.GetValue() == b.Value
	})
}

// subscriptionChange returns the whole subscription if anything of it differs.
func subscriptionChange(was *pluginv1.Subscription, is Subscription) (*pluginv1.Subscription, error) {
	if subscriptionFromProto(was) == is {
		return nil, nil
	}
	out, err := subscriptionToProto(is)
	if err != nil {
		return nil, fmt.Errorf("changed subscription: %w", err)
	}
	return out, nil
}
