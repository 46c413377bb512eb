"""The gRPC services of a plugin, over an author's class."""

import asyncio
import concurrent.futures
import contextvars
import inspect
import json
import logging

import grpc

from gatehouse import config, host, log, store
from gatehouse.answers import interest
from gatehouse.base import Degraded
from gatehouse.config import ConfigError, ConfigErrors
from gatehouse.exchange import AsyncExchange, ClientGone, Exchange
from gatehouse.plugin.v1 import (
    host_pb2,
    interceptor_pb2,
    interceptor_pb2_grpc,
    observer_pb2,
    observer_pb2_grpc,
    plugin_pb2,
    plugin_pb2_grpc,
    store_pb2,
    store_pb2_grpc,
    validator_pb2,
    validator_pb2_grpc,
)

API = "gatehouse.plugin.v1"
_PREFIX = API + "."
_INTERCEPTS = ("publish", "subscribe", "unsubscribe", "deliver")
_MESSAGE = ("topic", "payload", "qos", "retain", "user_properties", "expiry", "content_type", "response")
_CHANGES = {"publish": _MESSAGE, "deliver": _MESSAGE, "subscribe": ("qos", "subscription")}


def services(cls):
    """The full names of the services that a class serves."""
    names = []
    if cls.has("validate"):
        names.append(_PREFIX + "ConnectionValidatorService")
    if any(cls.has("intercept_" + h) for h in _INTERCEPTS):
        names.append(_PREFIX + "MessageInterceptorService")
    if cls.has("observe"):
        names.append(_PREFIX + "ObserverService")
    if cls.has("load") and cls.has("apply"):
        names.append(_PREFIX + "RetainedStoreService")
    return names


def manifest(cls, command):
    """The manifest of a class whose program is started by command."""
    m = {
        "schema": 1,
        "name": cls.name,
        "version": cls.version,
        "summary": cls.summary,
        "api": [API],
        "exec": {"*": command},
        "services": services(cls),
        "config_schema": config.schema(cls.Config),
        "env": list(cls.env),
        "exclusive": cls.exclusive,
    }
    return {k: v for k, v in m.items() if v or k in ("services",)}


class Core:
    """A plugin that is being served, and what its services share."""

    def __init__(self, cls, command, again=False):
        self.cls, self.again = cls, again
        self.manifest = json.dumps(manifest(cls, command), indent=2)
        self.log = logging.getLogger(cls.name)
        self.plugin = None  # after a good Init
        self.stopping = False
        self.stopped = asyncio.Event()
        self._init = asyncio.Lock()
        self._apply = asyncio.Lock()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        # A hook that hangs holds a thread of this pool; health and Stop need none.
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=cls.workers)

    def register(self, server):
        """Registers the services of the class, and the standard health service."""
        server.add_generic_rpc_handlers((_Health(),))
        plugin_pb2_grpc.add_PluginServiceServicer_to_server(_Plugin(self), server)
        served = services(self.cls)
        for name, add, servicer in (
            ("ConnectionValidatorService", validator_pb2_grpc.add_ConnectionValidatorServiceServicer_to_server, _Validator),
            ("MessageInterceptorService", interceptor_pb2_grpc.add_MessageInterceptorServiceServicer_to_server, _Interceptor),
            ("ObserverService", observer_pb2_grpc.add_ObserverServiceServicer_to_server, _Observer),
            ("RetainedStoreService", store_pb2_grpc.add_RetainedStoreServiceServicer_to_server, _Store),
        ):
            if _PREFIX + name in served:
                add(servicer(self), server)

    async def call(self, f, *args):
        """Runs a method of the author: a coroutine here, any other on a thread."""
        if inspect.iscoroutinefunction(f):
            return await f(*args)
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._pool, run, f, *args)

    async def hook(self, context, name, *args):
        """Runs a hook. What it raises is logged, and a status for the broker."""
        await self.ready(context)
        self._running += 1
        self._idle.clear()
        try:
            return await self.call(getattr(self.plugin, name), *args)
        except asyncio.CancelledError:
            raise
        except ClientGone:
            await context.abort(grpc.StatusCode.CANCELLED, "the client went away")
        except Exception as e:
            self.log.exception("the hook failed", extra={"hook": name})
            await context.abort(grpc.StatusCode.UNKNOWN, f"{name}: {type(e).__name__}: {e}")
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def ready(self, context):
        """Ends a call that came too early or too late."""
        if self.stopping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "plugin is stopping")
        if self.plugin is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "plugin is not initialised: call Init first")

    async def init(self, request, context):
        """Makes the plugin. A bad configuration is an answer; another Init may follow."""
        async with self._init:
            if self.plugin is not None and not self.again:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "plugin is initialised already")
            log.set_level(request.log_level)
            answer = plugin_pb2.InitResponse(name=self.cls.name, version=self.cls.version, services=services(self.cls))
            c = answer.capabilities
            c.idempotent, c.exclusive = self.cls.idempotent, self.cls.exclusive
            c.reconfigure, c.snapshot = self.cls.has("reconfigure"), self.cls.has("snapshot")
            c.enhanced_authentication = self.cls.has("validate") and self.cls.has("authenticate")
            plugin = self.cls()
            plugin.log = logging.getLogger(request.instance or self.cls.name)
            plugin.instance, plugin.data_dir = request.instance, request.data_dir
            try:
                plugin.config = await self.configuration(request.config_json)
                if self.plugin is not None:
                    await self._stop_plugin()
                if request.host_target:
                    plugin.host = host.Host(request.host_target, request.host_token)
                if self.cls.has("start"):
                    await self.call(plugin.start)
                answer.interest.extend(self.interest(plugin))
                self.plugin = plugin
            except Exception as e:
                answer.diagnostics.extend(self.diagnostics(e))
                if plugin.host is not None:
                    plugin.host.close()
            return answer

    def interest(self, plugin):
        """What it wants to be asked; by default everything that its hooks can be asked."""
        wanted = plugin.interest()
        if wanted is not None:
            return wanted
        return [
            interest(h, may_change=_CHANGES.get(h, ())) for h in _INTERCEPTS if self.cls.has("intercept_" + h)
        ]

    async def configuration(self, text):
        """Reads and checks a configuration."""
        made = config.decode(text, self.cls.Config)
        if self.cls.has("check"):
            await self.call(self.cls.check, made)
        return made

    def diagnostics(self, error):
        """An error as remarks about the configuration."""
        if isinstance(error, ConfigErrors):
            many = error.errors
        elif isinstance(error, ConfigError):
            many = [error]
        else:
            self.log.error("the plugin can't start", exc_info=error)
            many = [ConfigError(f"{type(error).__name__}: {error}")]
        return [
            plugin_pb2.Diagnostic(severity=plugin_pb2.SEVERITY_ERROR, message=" ".join(e.message.split()), path=e.path)
            for e in many
        ]

    async def drain(self):
        """Waits until no hook runs."""
        await self._idle.wait()

    async def stop(self, limit=5):
        """Takes no new calls, waits for those that run, and stops the plugin; only the first call does."""
        if self.stopping:
            await self.stopped.wait()
            return
        self.stopping = True
        try:
            await asyncio.wait_for(self.drain(), limit)
        except asyncio.TimeoutError:
            self.log.warning("calls were still running when the plugin was stopped")
        async with self._init:
            try:
                await self._stop_plugin()
            except Exception:
                self.log.exception("stopping the plugin failed")
                raise
            finally:
                self.stopped.set()

    async def _stop_plugin(self):
        plugin, self.plugin = self.plugin, None
        if plugin is None:
            return
        try:
            if self.cls.has("stop"):
                await self.call(plugin.stop)
        finally:
            if plugin.host is not None:
                plugin.host.close()


class _Plugin(plugin_pb2_grpc.PluginServiceServicer):
    def __init__(self, core):
        self.core = core

    async def Describe(self, request, context):
        return plugin_pb2.DescribeResponse(manifest_json=self.core.manifest.encode())

    async def Init(self, request, context):
        return await self.core.init(request, context)

    async def ValidateConfig(self, request, context):
        answer = plugin_pb2.ValidateConfigResponse()
        try:
            await self.core.configuration(request.config_json)
        except Exception as e:
            answer.diagnostics.extend(self.core.diagnostics(e))
        return answer

    async def Reconfigure(self, request, context):
        core = self.core
        if not core.cls.has("reconfigure"):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "plugin takes a new configuration only when it is started")
        await core.ready(context)
        answer = plugin_pb2.ReconfigureResponse()
        try:
            made = await core.configuration(request.config_json)
            await core.call(core.plugin.reconfigure, made)
            core.plugin.config = made
        except Exception as e:
            answer.diagnostics.extend(core.diagnostics(e))
        answer.interest.extend(core.interest(core.plugin))
        return answer

    async def CheckHealth(self, request, context):
        answer = plugin_pb2.CheckHealthResponse(status=plugin_pb2.HEALTH_STATUS_READY)
        if self.core.plugin is None:
            answer.message = "waits for Init"
        elif self.core.cls.has("health"):
            try:
                await self.core.call(self.core.plugin.health)
            except Degraded as e:
                answer.status, answer.message = plugin_pb2.HEALTH_STATUS_DEGRADED, str(e)
            except Exception as e:
                answer.status, answer.message = plugin_pb2.HEALTH_STATUS_UNHEALTHY, f"{type(e).__name__}: {e}"
        return answer

    async def CollectMetrics(self, request, context):
        text = ""
        if self.core.plugin is not None and self.core.cls.has("metrics"):
            text = await self.core.call(self.core.plugin.metrics)
        return plugin_pb2.CollectMetricsResponse(prometheus_text=text.encode())

    async def Drain(self, request, context):
        await self.core.drain()
        return plugin_pb2.DrainResponse()

    async def Stop(self, request, context):
        await self.core.stop()
        return plugin_pb2.StopResponse()


class _Validator(validator_pb2_grpc.ConnectionValidatorServiceServicer):
    def __init__(self, core):
        self.core = core

    async def Validate(self, request, context):
        return validator_pb2.ValidateResponse(decision=await self.core.hook(context, "validate", request.connect))

    async def Authenticate(self, requests, context):
        if not self.core.cls.has("authenticate"):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "plugin has no enhanced authentication")
        await self.core.ready(context)
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        kind = AsyncExchange if inspect.iscoroutinefunction(self.core.plugin.authenticate) else Exchange
        decision = await self.core.hook(context, "authenticate", first.connect, kind(context, first.reauthenticate))
        await context.write(validator_pb2.AuthenticateResponse(decision=decision))


class _Interceptor(interceptor_pb2_grpc.MessageInterceptorServiceServicer):
    # Only the unary call: a stream costs a Python plugin more than it saves.

    def __init__(self, core):
        self.core = core

    async def Intercept(self, request, context):
        await self.core.ready(context)
        clients = {c.connection_id: c for c in request.clients}
        lanes = {}
        for call in request.calls:
            lanes.setdefault(call.connection_id, []).append(call)
        answer = interceptor_pb2.InterceptResponse()
        for verdicts in await asyncio.gather(*(self.lane(clients.get(i), calls) for i, calls in lanes.items())):
            for v in verdicts:
                if isinstance(v, int):
                    answer.passed.add(first_seq=v, count=1)
                else:
                    answer.verdicts.append(v)
        return answer

    async def lane(self, client, calls):
        """Decides the calls of one client in their order: a number for one that passes, or a verdict."""
        verdicts = []
        for call in calls:
            kind = call.WhichOneof("call")
            f = getattr(self.core.plugin, f"intercept_{kind}", None)
            verdict = None
            if f is not None:
                about = getattr(call, kind)
                hops = about.message.hops if kind in ("publish", "deliver") else 0
                host.in_hand.set(host_pb2.CallToken(connection_id=call.connection_id, seq=call.seq, hops=hops))
                verdict = await self.decide(f, about, client)
            if verdict is None:
                verdicts.append(call.seq)
            else:
                verdict.seq = call.seq
                verdicts.append(verdict)
        return verdicts

    async def decide(self, f, about, client):
        try:
            return await self.core.call(f, about, client)
        except Exception as e:
            self.core.log.exception("the hook failed", extra={"hook": f.__name__})
            return interceptor_pb2.Verdict(reason=f"{type(e).__name__}: {e}")  # undecided: the policy decides


class _Observer(observer_pb2_grpc.ObserverServiceServicer):
    def __init__(self, core):
        self.core = core

    async def Observe(self, request, context):
        host.in_hand.set(host_pb2.CallToken(hops=max((e.message.hops for e in request.events), default=0)))
        await self.core.hook(context, "observe", request.events, request.dropped)
        return observer_pb2.ObserveResponse()


class _Store(store_pb2_grpc.RetainedStoreServiceServicer):
    def __init__(self, core):
        self.core = core

    async def Load(self, request, context):
        async for part in self.stream(context, "load", store_pb2.LoadResponse):
            part.max_message_bytes = getattr(self.core.cls, "max_message_bytes", 0)
            yield part

    async def Snapshot(self, request, context):
        if not self.core.cls.has("snapshot"):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "store has no snapshots")
        async for part in self.stream(context, "snapshot", store_pb2.SnapshotResponse):
            yield part

    async def stream(self, context, hook, new):
        """Streams what a hook gives, each part made on a thread, and with it the revision before it."""
        stats = await self.core.hook(context, "stats")
        items = store.parts(await self.core.hook(context, hook), new)
        while True:
            part = await self.core.call(next, items, None)
            if part is None:
                return
            part.revision = stats.revision
            yield part

    async def Apply(self, request, context):
        for c in request.changes:
            wrong = store.nonsense(c)
            if wrong:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
        async with self.core._apply:
            revision = await self.core.hook(context, "apply", request.changes)
        return store_pb2.ApplyResponse(
            revision=revision, max_message_bytes=getattr(self.core.cls, "max_message_bytes", 0))

    async def Stats(self, request, context):
        return await self.core.hook(context, "stats")


class _Health(grpc.GenericRpcHandler):
    """grpc.health.v1, as far as the broker asks: whether "plugin" serves."""

    def service(self, details):
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        async def check(request, context):
            # HealthCheckRequest is the service's name as field 1; status 1 is SERVING.
            if request not in (b"", b"\x0a\x06plugin"):
                await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return b"\x08\x01"

        return grpc.unary_unary_rpc_method_handler(check)
