"""The plugin as a process of the broker's: command line, handshake, log, and every way to end."""

import asyncio
import datetime
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

import grpc

from gatehouse import log, services

COOKIE = ("GATEHOUSE_PLUGIN", "9f4c1f6e-gatehouse-plugin")
LIFELINE = "GATEHOUSE_LIFELINE_FD"
PROTOCOL = "1"

_STOP = 5  # seconds that a plugin has to stop when nobody gives it a time
_OPTIONS = [
    ("grpc.max_receive_message_length", 512 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.so_reuseport", 0),
]


def serve(cls):
    """Makes the program a plugin: the last line of it, which ends the process.

    PLUGIN                    serves the broker that started it
    PLUGIN describe           prints the manifest
    PLUGIN -version           prints name and version
    PLUGIN -standalone DIR    serves under a debugger; a broker with the plugin directory DIR uses it
    """
    code = _run(cls, sys.argv[1:])
    # Threads that hang in a hook must not keep the process.
    sys.stdout.flush()
    os._exit(code)


def _run(cls, args):
    command = ["python3", "-B", os.path.basename(sys.argv[0])]
    if args == ["describe"]:
        print(json.dumps(services.manifest(cls, command), indent=2))
        return 0
    if args == ["-version"]:
        print(cls.name, cls.version)
        return 0
    if len(args) == 2 and args[0] == "-standalone":
        return asyncio.run(_standalone(cls, command, args[1]))
    if args or os.environ.get(COOKIE[0]) != COOKIE[1]:
        print(f"{cls.name} is a Gatehouse plugin: the broker starts it. By hand: describe, -version, -standalone DIR",
              file=sys.stderr)
        return 2 if args else 1
    return asyncio.run(_serve_broker(cls, command))


async def _serve_broker(cls, command):
    log.to_stderr(cls.name)
    folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR")
    if not folder or PROTOCOL not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "").split(","):
        logging.error("the broker offers no Unix socket, or no plugin protocol that this plugin speaks")
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the broker's terminal is the broker's business
    core = services.Core(cls, command)
    loop = asyncio.get_running_loop()
    end = lambda: asyncio.ensure_future(core.stop(_STOP))  # noqa: E731
    loop.add_signal_handler(signal.SIGTERM, end)
    threading.Thread(target=_watch, args=(loop, end), daemon=True).start()

    path = os.path.join(folder, "plugin.sock")
    server = await _listen(core, path)
    print(f"1|{PROTOCOL}|unix|{path}|grpc|", flush=True)
    # From here on nothing but log lines: what is printed goes where the log goes.
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    await core.stopped.wait()
    await server.stop(0.5)  # the broker waits a second for the end
    return 0


async def _listen(core, path):
    server = grpc.aio.server(options=_OPTIONS)
    core.register(server)
    server.add_insecure_port("unix:" + path)
    await server.start()
    return server


def _watch(loop, end):
    """Ends the plugin when the broker is gone, however it went."""
    parent = os.getppid()
    gone = threading.Event()
    if os.environ.get(LIFELINE):
        fd = int(os.environ[LIFELINE])
        os.set_inheritable(fd, False)  # or children of the plugin would keep it open

        def read():
            while os.read(fd, 1):
                pass
            gone.set()

        threading.Thread(target=read, daemon=True).start()
    while not gone.wait(1) and os.getppid() == parent:
        pass
    logging.warning("the broker is gone, exiting")
    loop.call_soon_threadsafe(end)
    time.sleep(_STOP + 2)
    os._exit(1)


async def _standalone(cls, command, folder):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    core = services.Core(cls, command, again=True)
    private = tempfile.mkdtemp(prefix="gatehouse-")
    attach = os.path.join(folder, cls.name, "attach.json")
    loop = asyncio.get_running_loop()
    for s in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(s, lambda: asyncio.ensure_future(core.stop(_STOP)))
    try:
        path = os.path.join(private, "plugin.sock")
        server = await _listen(core, path)
        os.makedirs(os.path.dirname(attach), mode=0o700, exist_ok=True)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        with open(os.open(attach + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            json.dump({"schema": 1, "name": cls.name, "version": cls.version, "address": "unix://" + path,
                       "pid": os.getpid(), "started": now}, f)
        os.rename(attach + ".new", attach)
        print(f"{cls.name} serves on unix://{path}\n  attach file:  {attach}\n  Ctrl-C stops it", file=sys.stderr)
        await core.stopped.wait()
        os.remove(attach)
        await server.stop(0.5)  # the broker waits a second for the end
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return 0
