"""What an author's class begins with."""

import logging


class Degraded(Exception):
    """Raised by Plugin.health: the plugin works, with the limitation that it names."""


class Plugin:
    """A plugin. Derive from it, set name, and write the hooks that it has.

    Hooks are plain methods, which run on threads (workers at once), or
    coroutines, which run on the one event loop and must not block it:

    validate(connect)                 a Decision: allow(), deny(), abstain()
    authenticate(connect, exchange)   the same, for enhanced authentication, beside
                                      validate; see gatehouse.exchange
    intercept_publish(call, client)   a Verdict: drop(), refuse(), disconnect(),
    intercept_subscribe(call, client)     change(...); None lets it pass
    intercept_unsubscribe(call, client)
    intercept_deliver(call, client)
    observe(events, dropped)          nothing
    load(), apply(changes)            a store; see gatehouse.store

    client is None where no connected client acts. An exception means that the
    plugin could not decide; the broker's policy then does. It is logged, with
    its traceback.

    Optional: start() before the first hook, stop() after the last, health(),
    interest(), reconfigure(config), check(config), metrics().
    """

    name = ""
    version = "0.0.0"
    summary = ""
    Config = None  # a dataclass with the defaults; see gatehouse.option
    env = ()  # names of environment variables to pass on, "*" at the end for a prefix
    exclusive = False  # only one process may run at a time
    idempotent = False  # deciding the same call twice does no harm
    workers = 32  # plain methods that run at once

    # Set before start() is called.
    config = None  # an instance of Config
    instance = ""  # the name under which it runs here
    data_dir = ""  # a private folder that is kept
    host = None  # gatehouse.host.Host; None if the broker gave no access
    log = logging.getLogger("plugin")

    def interest(self):
        """What it wants to be asked, made by gatehouse.interest(); None is all that its hooks can be asked."""
        return None

    @classmethod
    def has(cls, hook):
        """Whether the class has a method of that name."""
        return callable(getattr(cls, hook, None))
