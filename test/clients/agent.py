"""Clients of Python's paho-mqtt that are told what to do, a command a line.

See agent_test.go for what goes in and out.
"""
import json
import socket
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

lock = threading.Lock()


def say(**what):
    with lock:
        print(json.dumps(what), flush=True)


def properties_of(message, packet):
    p = Properties(packet)
    if message.get("contentType"):
        p.ContentType = message["contentType"]
    if message.get("responseTopic"):
        p.ResponseTopic = message["responseTopic"]
    if message.get("correlation"):
        p.CorrelationData = message["correlation"].encode()
    if message.get("expiry"):
        p.MessageExpiryInterval = message["expiry"]
    if message.get("utf8"):
        p.PayloadFormatIndicator = 1
    for pair in message.get("user", []):
        p.UserProperty = tuple(pair)
    return p


class Client:
    def __init__(self, number):
        self.number = number
        self.client = None
        self.v5 = False

    def say(self, **what):
        say(client=self.number, **what)

    def connect(self, host, port, options):
        self.v5 = options["version"] == mqtt.MQTTv5
        args = {"client_id": options["id"], "protocol": options["version"]}
        if not self.v5:
            args["clean_session"] = options["clean"]
        c = self.client = mqtt.Client(**args)
        c.reconnect_delay_set(3600, 3600)  # the library can't be told not to
        c.on_connect = self.on_connect
        c.on_disconnect = lambda *_: self.say(ended=True)
        c.on_message = self.on_message
        c.on_subscribe = self.on_subscribe
        c.on_unsubscribe = lambda *_: self.say(done=True)
        will = options.get("will")
        if will:
            args = {"properties": properties_of(will, PacketTypes.WILLMESSAGE)} if self.v5 else {}
            c.will_set(will["topic"], will["payload"], will["qos"], will["retain"], **args)
        args = {}
        if self.v5:
            args["clean_start"] = options["clean"]
            args["properties"] = Properties(PacketTypes.CONNECT)
            args["properties"].SessionExpiryInterval = options.get("expiry", 0)
        c.connect(host, port, 60, **args)
        c.loop_start()

    def on_connect(self, _client, _data, flags, code, props=None):
        if int(code if not self.v5 else code.value) != 0:
            self.say(done=True, error="refused: %s" % code)
            return
        ack = {"present": bool(flags["session present"])}
        if props is not None and hasattr(props, "AssignedClientIdentifier"):
            ack["assignedId"] = props.AssignedClientIdentifier
        self.say(done=True, connack=ack)

    def on_message(self, _client, _data, m):
        out = {"topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain)}
        if self.v5:
            p = m.properties
            out["contentType"] = getattr(p, "ContentType", "")
            out["responseTopic"] = getattr(p, "ResponseTopic", "")
            out["correlation"] = getattr(p, "CorrelationData", b"").decode()
            out["expiry"] = getattr(p, "MessageExpiryInterval", 0)
            out["utf8"] = getattr(p, "PayloadFormatIndicator", 0) == 1
            out["user"] = [list(pair) for pair in getattr(p, "UserProperty", [])]
            out["ids"] = list(getattr(p, "SubscriptionIdentifier", []))
        self.say(message=out)

    def subscribe(self, subscription):
        s = subscription
        if not self.v5:
            self.client.subscribe(s["filter"], s["qos"])
            return
        options = SubscribeOptions(
            qos=s["qos"], noLocal=s.get("noLocal", False), retainAsPublished=s.get("retainAsPublished", False),
            retainHandling=s.get("retainHandling", 0))
        props = Properties(PacketTypes.SUBSCRIBE)
        if s.get("id"):
            props.SubscriptionIdentifier = s["id"]
        self.client.subscribe(s["filter"], options=options, properties=props)

    def on_subscribe(self, _client, _data, _id, codes, _props=None):
        self.say(done=True, code=codes[0].value if self.v5 else codes[0])

    def unsubscribe(self, filter):
        self.client.unsubscribe(filter)

    def publish(self, message):
        args = {"properties": properties_of(message, PacketTypes.PUBLISH)} if self.v5 else {}
        info = self.client.publish(message["topic"], message["payload"], message["qos"], message["retain"], **args)
        info.wait_for_publish(20)
        # This version of the library tells nobody the reason code.
        self.say(done=True)

    def disconnect(self):
        self.client.disconnect()

    def drop(self):
        self.client.socket().shutdown(socket.SHUT_RDWR)


clients = {}
for line in sys.stdin:
    command = json.loads(line)
    number, do = command.pop("client"), command.pop("do")
    client = clients.setdefault(number, Client(number))
    try:
        getattr(client, do)(**command)
    except Exception as e:  # the test wants to know all of them
        client.say(done=True, error=repr(e))
