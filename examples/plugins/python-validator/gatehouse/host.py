"""Calls the broker: HostService, with the plugin's token."""

import collections
import contextvars

import grpc

from gatehouse.plugin.v1 import host_pb2, host_pb2_grpc, message_pb2

# What the hook that runs now is about; empty outside of hooks.
in_hand = contextvars.ContextVar("in_hand", default=None)


class Host:
    """The broker, as far as the scopes in the plugin's configuration go.

    stub has all calls of HostService; publish is the one that most need. Calls
    block: a coroutine makes them by asyncio.to_thread.
    """

    def __init__(self, target, token):
        self._channel = grpc.insecure_channel(target, [("grpc.max_receive_message_length", 32 << 20)])
        self.stub = host_pb2_grpc.HostServiceStub(grpc.intercept_channel(self._channel, _Token(token)))

    def publish(self, topic, payload=b"", qos=0, retain=False, timeout=10, **fields):
        """Publishes a message; scope publish. Inside of a hook it goes out after the message in hand."""
        if isinstance(payload, str):
            payload = payload.encode()
        message = message_pb2.Message(topic=topic, payload=payload, qos=qos, retain=retain, **fields)
        return self.stub.Publish(host_pb2.PublishRequest(message=message, call=in_hand.get()), timeout=timeout)

    def close(self):
        """Ends the connection."""
        self._channel.close()


class _Details(
    collections.namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,
):
    pass


class _Token(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, token):
        self._token = ("gatehouse-token", token)

    def intercept_unary_unary(self, continuation, details, request):
        metadata = list(details.metadata or ()) + [self._token]
        return continuation(
            _Details(details.method, details.timeout or 30, metadata, details.credentials, details.wait_for_ready, details.compression),
            request)
