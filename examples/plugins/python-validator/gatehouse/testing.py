"""For the tests of a plugin: in the test itself, or as the broker runs it."""

import json
import os
import subprocess
import sys
import tempfile

import grpc

from gatehouse import config, process
from gatehouse.plugin.v1 import (
    interceptor_pb2_grpc,
    message_pb2,
    observer_pb2_grpc,
    plugin_pb2,
    plugin_pb2_grpc,
    store_pb2_grpc,
    validator_pb2,
    validator_pb2_grpc,
)


def make(cls, data_dir="", **options):
    """A plugin with that configuration, started, without a broker. Its hooks are called as methods."""
    plugin = cls()
    plugin.config = config.decode(json.dumps(options), cls.Config)
    plugin.instance, plugin.data_dir = cls.name, data_dir
    if cls.has("start"):
        plugin.start()
    return plugin


def connect(client_id, username=None, password=None, **fields):
    """The CONNECT of an MQTT 5 client over TCP."""
    if isinstance(password, str):
        password = password.encode()
    return validator_pb2.Connect(
        connection_id=1, client_id=client_id, username=username, password=password, protocol_level=5, clean_start=True,
        keep_alive_seconds=60, peer_address="192.0.2.1:50000", local_address="192.0.2.100:1883", listener="default",
        transport="tcp", **fields)


def message(topic, payload=b"", qos=1, **fields):
    """A message that a client published."""
    if isinstance(payload, str):
        payload = payload.encode()
    return message_pb2.Message(
        topic=topic, payload=payload, payload_size=len(payload), qos=qos, origin=message_pb2.ORIGIN_CLIENT, **fields)


class launch:
    """Runs a plugin's program as the broker does, for a with statement: handshake, Init, Stop.

    with launch("main.py", {"password": "x"}) as p: p.validator.Validate(...)
    """

    def __init__(self, script, options=None):
        self.options = options or {}
        self._run = tempfile.TemporaryDirectory(prefix="gh")  # short: the path of a socket is limited
        life, self._lifeline = os.pipe()
        env = {
            process.COOKIE[0]: process.COOKIE[1],
            "PLUGIN_PROTOCOL_VERSIONS": process.PROTOCOL,
            "PLUGIN_UNIX_SOCKET_DIR": self._run.name,
            process.LIFELINE: str(life),
            "PATH": os.environ.get("PATH", os.defpath),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-B", script], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[life])
        os.close(life)

    def __enter__(self):
        line = self._process.stdout.readline().decode()
        fields = line.split("|")
        if len(fields) < 5 or fields[:3] != ["1", process.PROTOCOL, "unix"]:
            self._end()
            raise AssertionError(f"no handshake: {line!r}")
        self._channel = grpc.insecure_channel("unix:" + fields[3])
        self.plugin = plugin_pb2_grpc.PluginServiceStub(self._channel)
        self.validator = validator_pb2_grpc.ConnectionValidatorServiceStub(self._channel)
        self.interceptor = interceptor_pb2_grpc.MessageInterceptorServiceStub(self._channel)
        self.observer = observer_pb2_grpc.ObserverServiceStub(self._channel)
        self.store = store_pb2_grpc.RetainedStoreServiceStub(self._channel)
        self.init = self.plugin.Init(
            plugin_pb2.InitRequest(instance="test", config_json=json.dumps(self.options).encode(), data_dir=self._run.name),
            wait_for_ready=True, timeout=10)
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.plugin.Stop(plugin_pb2.StopRequest(), timeout=10)
                self._channel.close()
                code = self._process.wait(10)
                assert code == 0, f"the plugin ended with {code}"
        finally:
            self._channel.close()
            self._end()

    def _end(self):
        os.close(self._lifeline)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._run.cleanup()
