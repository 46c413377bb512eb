package clients

// full is a message with all the properties that a client can give it.
func (t *teller) full(topic string) message {
	m := message{
		Topic: topic, Payload: "süß", QoS: 1, ContentType: "text/plain", ResponseTopic: "reply/to", Correlation: "c-1",
		User: [][2]string{{"k", "1"}, {"a", "2"}, {"k", "3"}}, Expiry: 1000, UTF8: true,
	}
	if t.library.byKey {
		m.User = [][2]string{{"k", "1"}, {"k", "3"}, {"a", "2"}}
	}
	return m
}

// tellProperties: properties arrive as they were sent, user properties in
// order, with the identifiers of the subscriptions.
func tellProperties(t *teller) {
	pub, sub := t.connect("p"), t.connect("s")
	sub.sub(subscription{Filter: t.topic("p/+"), QoS: 2, ID: 7})
	m := t.full(t.topic("p/x"))
	pub.pub(m)
	m.IDs = []int{7}
	got := sub.next()
	if got.Expiry > 1000 || got.Expiry < 990 {
		t.Errorf("%d s are left of 1000", got.Expiry)
	}
	got.Expiry = m.Expiry
	if !got.same(m) {
		t.Errorf("got  %+v\nwant %+v", got, m)
	}
	// So does a retained one.
	m.Retain, m.IDs = true, nil
	pub.pub(m)
	late := t.connect("l")
	late.sub(subscription{Filter: m.Topic, QoS: 1, ID: 268_435_455})
	got = late.next()
	m.Expiry, m.IDs = got.Expiry, []int{268_435_455}
	if !got.same(m) {
		t.Errorf("got  %+v\nwant %+v", got, m)
	}
}

// tellWillProperties: those of a will as well.
func tellWillProperties(t *teller) {
	watcher := t.connect("w")
	watcher.sub(subscription{Filter: t.topic("will"), QoS: 2})
	will := t.full(t.topic("will"))
	t.connect("rude", func(o *options) { o.Will = &will }).drop()
	if t.library.plainWill {
		will = message{Topic: will.Topic, Payload: will.Payload, QoS: will.QoS, User: will.User}
	}
	watcher.gets(will)
}

// tellOptions: No Local, Retain As Published, Retain Handling.
func tellOptions(t *teller) {
	a, b := t.connect("a"), t.connect("b")
	end := message{Topic: t.topic("end"), Payload: "end"}
	a.sub(subscription{Filter: end.Topic})
	a.sub(subscription{Filter: t.topic("o/#"), QoS: 1, NoLocal: true, RetainAsPublished: true})
	mine := message{Topic: t.topic("o/mine"), Payload: "mine", QoS: 1}
	yours := message{Topic: t.topic("o/yours"), Payload: "yours", QoS: 1, Retain: true}
	a.pub(mine)
	b.pub(yours)
	a.gets(yours)
	// It exists: nothing is sent again.
	a.sub(subscription{Filter: t.topic("o/#"), QoS: 1, RetainHandling: 1})
	a.pub(end)
	a.gets(end)
	a.sub(subscription{Filter: t.topic("o/#"), QoS: 1, RetainHandling: 0})
	a.gets(yours)
	a.sub(subscription{Filter: t.topic("o/+"), QoS: 1, RetainHandling: 2})
	a.pub(end)
	a.gets(end)
}

// tellAnswers: what the broker tells the client.
func tellAnswers(t *teller) {
	c := t.connect("c", func(o *options) { o.ID = "" })
	if c.AssignedID == "" {
		t.Error("no client identifier was assigned")
	}
	m := message{Topic: t.topic("nobody"), QoS: 1}
	if t.library.noCodes {
		return
	}
	if code, err := c.publish(m); err != nil || code != 0x10 {
		t.Errorf("published to nobody: code %#x, %v", code, err)
	}
	c.sub(subscription{Filter: m.Topic})
	if code, err := c.publish(m); err != nil || code != 0 {
		t.Errorf("published: code %#x, %v", code, err)
	}
	m.QoS = 0
	c.gets(m)
	c.bye()
}
