"""Write Gatehouse plugins in Python.

A plugin is a class with the hooks that it has; serve() makes a program of it:

    import gatehouse

    class Door(gatehouse.Plugin):
        name = "door"

        def validate(self, connect):
            if connect.password != b"sesame":
                return gatehouse.deny(gatehouse.BAD_USER_NAME_OR_PASSWORD, "say the word")
            return gatehouse.allow(gatehouse.grant("home/%c/#"))

    if __name__ == "__main__":
        gatehouse.serve(Door)

What hooks are given and answer are the messages of the contract: see
proto/gatehouse/plugin/v1, where every field is explained, and the generated
classes in gatehouse.plugin.v1. The functions of gatehouse.answers make the
usual answers.

It needs grpc and protobuf (Debian: python3-grpcio), or what pip installed into
the folder site-packages beside the plugin's own files.
"""

import os
import sys

_packages = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site-packages")
if os.path.isdir(_packages):
    sys.path.insert(0, _packages)

try:
    import grpc  # noqa: F401
    import google.protobuf  # noqa: F401
except ImportError as missing:
    sys.exit(
        f"{sys.executable} has no gRPC ({missing}): install Debian's python3-grpcio, or run"
        f" '{sys.executable} -m pip install --target {_packages} grpcio protobuf'."
        " Another interpreter is chosen by PATH in the plugin's env."
    )

from gatehouse.answers import *  # noqa: E402,F401,F403
from gatehouse.config import ConfigError, option  # noqa: E402,F401
from gatehouse.process import serve  # noqa: E402,F401
from gatehouse.base import Degraded, Plugin  # noqa: E402,F401
from gatehouse.exchange import ClientGone  # noqa: E402,F401
