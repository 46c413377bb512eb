"""Enhanced authentication (MQTT 5, section 4.12): the client is asked more than once."""

import asyncio

import grpc

from gatehouse.plugin.v1 import message_pb2, validator_pb2


class ClientGone(Exception):
    """Raised by challenge(): the client went away, or took too long. Let it pass."""


class Exchange:
    """One exchange, as authenticate(connect, exchange) gets it if it is a plain method.

    again says that a connected client authenticates anew. connect.authentication_data
    is what the client said first.
    """

    def __init__(self, context, again):
        self.again = again
        self._asked = _Asked(context)
        self._loop = asyncio.get_running_loop()

    def challenge(self, data=None, reason="", user_properties=()):
        """Sends an AUTH packet and waits for the client's: its authentication_data and user_properties."""
        asking = asyncio.run_coroutine_threadsafe(self._asked.challenge(data, reason, user_properties), self._loop)
        try:
            return asking.result()
        except (asyncio.CancelledError, grpc.RpcError) as e:
            raise ClientGone() from e


class AsyncExchange:
    """The same for a coroutine, which awaits challenge()."""

    def __init__(self, context, again):
        self.again = again
        self._asked = _Asked(context)

    async def challenge(self, data=None, reason="", user_properties=()):
        """Sends an AUTH packet and waits for the client's: its authentication_data and user_properties."""
        return await self._asked.challenge(data, reason, user_properties)


class _Asked:
    def __init__(self, context):
        self._context = context

    async def challenge(self, data, reason, user_properties):
        if isinstance(data, str):
            data = data.encode()
        await self._context.write(validator_pb2.AuthenticateResponse(
            authentication_data=data, reason=reason,
            user_properties=[message_pb2.UserProperty(key=k, value=v) for k, v in user_properties]))
        answer = await self._context.read()
        if answer is grpc.aio.EOF:
            raise ClientGone()
        return answer
