"""A plugin that authenticates by counting, and asks the broker what topics below ask/ name."""

import grpc

import gatehouse
from gatehouse.plugin.v1 import client_pb2, host_pb2, message_pb2


class Probe(gatehouse.Plugin):
    name = "probe"

    def interest(self):
        return [gatehouse.interest("connect"), gatehouse.interest("publish", ["ask/#"])]

    def validate(self, connect):
        return gatehouse.allow(durability="none")

    def authenticate(self, connect, exchange):
        if connect.authentication_method != "COUNT":
            return gatehouse.deny(0x8C, "count")
        said = [connect.authentication_data]
        for n in ("one", "two"):
            said.append(exchange.challenge(n, reason="go on").authentication_data)
        if said[1:] != [b"two", b"three"]:
            return gatehouse.deny(gatehouse.NOT_AUTHORIZED, "that is not counting")
        return gatehouse.allow(authentication_data=b" ".join(said))

    def intercept_publish(self, call, client):
        try:
            found = self.ask(call.message.topic.removeprefix("ask/"), call.message.payload.decode())
        except grpc.RpcError as e:
            found = e.code().name
        return gatehouse.refuse(gatehouse.IMPLEMENTATION_SPECIFIC_ERROR, found)

    def ask(self, what, arg):
        stub = self.host.stub
        if what == "publish":
            done = self.host.publish(arg, "of the plugin", qos=1)
            return f"receivers 1 or later: {done}" if done.receivers == 1 or done.later else f"{done}"
        if what == "client":
            c = stub.GetClient(host_pb2.GetClientRequest(client_id=arg)).client.client
            return f"{c.client_id} at level {c.protocol_level}"
        if what == "durability":
            s = stub.GetSession(host_pb2.GetSessionRequest(client_id=arg)).session
            return client_pb2.Durability.Name(s.durability)
        if what == "clients":
            ids = [c.client.client_id for c in stub.ListClients(host_pb2.ListClientsRequest(limit=100)).clients]
            return "me among them" if "me" in ids else f"{ids}"
        if what == "retain":
            message = message_pb2.Message(topic=arg, payload=b"kept", qos=1, retain=True)
            return f"revision {stub.PutRetained(host_pb2.PutRetainedRequest(message=message)).revision}"
        if what == "retained":
            m = stub.GetRetained(host_pb2.GetRetainedRequest(topic=arg)).message
            return f"{m.topic}={m.payload.decode()}"
        if what == "retained-list":
            return " ".join(m.topic for m in stub.ListRetained(host_pb2.ListRetainedRequest(filter=arg, limit=10)).messages)
        if what == "share":
            return "written" if stub.PutShared(host_pb2.PutSharedRequest(key=arg, value=b"shared", if_version=0)).written else "not written"
        if what == "shared":
            s = stub.GetShared(host_pb2.GetSharedRequest(key=arg))
            return f"{s.value.decode()} at version {s.version}"
        if what == "disconnect":
            return str(stub.DisconnectClient(host_pb2.DisconnectClientRequest(client_id=arg)))
        return "what?"


if __name__ == "__main__":
    gatehouse.serve(Probe)
