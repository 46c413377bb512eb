"""Makes the answers of hooks, and what an interest is."""

from gatehouse.plugin.v1 import client_pb2, interceptor_pb2, message_pb2, observer_pb2, plugin_pb2, validator_pb2

__all__ = [
    "allow", "deny", "abstain", "grant", "drop", "refuse", "disconnect", "change", "lower_qos", "interest",
    "UNSPECIFIED_ERROR", "IMPLEMENTATION_SPECIFIC_ERROR", "CLIENT_IDENTIFIER_NOT_VALID", "BAD_USER_NAME_OR_PASSWORD",
    "NOT_AUTHORIZED", "SERVER_UNAVAILABLE", "SERVER_BUSY", "BANNED", "TOPIC_FILTER_INVALID", "TOPIC_NAME_INVALID",
    "MESSAGE_RATE_TOO_HIGH", "QUOTA_EXCEEDED", "ADMINISTRATIVE_ACTION", "PAYLOAD_FORMAT_INVALID", "USE_ANOTHER_SERVER",
    "SERVER_MOVED",
]

# Reason codes of MQTT 5, section 2.4, of which a plugin has most use.
UNSPECIFIED_ERROR = 0x80
IMPLEMENTATION_SPECIFIC_ERROR = 0x83
CLIENT_IDENTIFIER_NOT_VALID = 0x85
BAD_USER_NAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
SERVER_UNAVAILABLE = 0x88
SERVER_BUSY = 0x89
BANNED = 0x8A
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = 0x90
MESSAGE_RATE_TOO_HIGH = 0x96
QUOTA_EXCEEDED = 0x97
ADMINISTRATIVE_ACTION = 0x98
PAYLOAD_FORMAT_INVALID = 0x99
USE_ANOTHER_SERVER = 0x9C
SERVER_MOVED = 0x9D


def allow(*grants, **fields):
    """Lets a client in. Without grants this validator sets no bounds; allow(grants=[]) permits nothing.

    fields are those of Decision, such as items={"tenant": b"7"} or cache_seconds=60; durability is "sync", "interval" or "none".
    """
    given = fields.pop("grants", None)
    if isinstance(fields.get("durability"), str):
        fields["durability"] = _value(client_pb2.Durability, "DURABILITY_", fields["durability"])
    d = validator_pb2.Decision(verdict=validator_pb2.DECISION_VERDICT_ALLOW, **fields)
    if grants or given is not None:
        d.grants.grants.extend(list(grants) + list(given or ()))
        d.grants.SetInParent()
    return d


def deny(code=NOT_AUTHORIZED, reason="", **fields):
    """Refuses a client with a reason code, and words for those that understand MQTT 5."""
    return validator_pb2.Decision(
        verdict=validator_pb2.DECISION_VERDICT_DENY, reason_code=code, reason=reason, **fields)


def abstain():
    """Leaves it to other validators. If all abstain the client is refused."""
    return validator_pb2.Decision(verdict=validator_pb2.DECISION_VERDICT_ABSTAIN)


def grant(filter, actions=(), allow=True, maximum_qos=None, retain=None):
    """Allows or denies actions ("publish", "subscribe", "receive"; none is all) on a topic filter."""
    return validator_pb2.Grant(
        effect=validator_pb2.GRANT_EFFECT_ALLOW if allow else validator_pb2.GRANT_EFFECT_DENY,
        actions=[_value(validator_pb2.GrantAction, "GRANT_ACTION_", a) for a in actions],
        filter=filter, maximum_qos=maximum_qos, retain=retain)


def drop():
    """Goes no further; the sender is told that all is well."""
    return interceptor_pb2.Verdict(action=interceptor_pb2.VERDICT_ACTION_DROP)


def refuse(code=NOT_AUTHORIZED, reason=""):
    """Goes no further; the sender is told why."""
    return interceptor_pb2.Verdict(action=interceptor_pb2.VERDICT_ACTION_REFUSE, reason_code=code, reason=reason)


def disconnect(code=ADMINISTRATIVE_ACTION, reason=""):
    """Goes no further, and ends the client's connection."""
    return interceptor_pb2.Verdict(action=interceptor_pb2.VERDICT_ACTION_DISCONNECT, reason_code=code, reason=reason)


def change(user_properties=None, **fields):
    """Passes a message with changes: fields of MessageChange, such as payload=b"..."; user_properties are pairs."""
    m = interceptor_pb2.MessageChange(**fields)
    if user_properties is not None:
        m.user_properties.SetInParent()
        m.user_properties.user_properties.extend(
            message_pb2.UserProperty(key=k, value=v) for k, v in user_properties)
    return interceptor_pb2.Verdict(action=interceptor_pb2.VERDICT_ACTION_PASS, message=m)


def lower_qos(subscription, qos):
    """Grants a subscription with a lower quality of service."""
    v = interceptor_pb2.Verdict(action=interceptor_pb2.VERDICT_ACTION_PASS)
    v.subscription.CopyFrom(subscription)
    v.subscription.qos = min(qos, subscription.qos)
    return v


def interest(hook, filters=(), payload="full", payload_head_bytes=0, may_change=(), events=(), origins=(), **fields):
    """What a plugin wants to be asked at one hook, in lower-case names: interest("publish", ["in/#"], payload="none")."""
    return plugin_pb2.HookInterest(
        hook=_value(plugin_pb2.Hook, "HOOK_", hook),
        topic_filters=filters,
        payload=_value(plugin_pb2.PayloadMode, "PAYLOAD_MODE_", payload),
        payload_head_bytes=payload_head_bytes,
        may_change=[_value(plugin_pb2.Field, "FIELD_", f) for f in may_change],
        events=[_value(observer_pb2.EventKind, "EVENT_KIND_", e) for e in events],
        origins=[_value(message_pb2.Origin, "ORIGIN_", o) for o in origins],
        **fields)


def _value(enum, prefix, name):
    try:
        return enum.Value(prefix + name.upper())
    except ValueError:
        known = ", ".join(n[len(prefix):].lower() for n in enum.keys() if not n.endswith("_UNSPECIFIED"))
        raise ValueError(f"{name!r} is none of {known}") from None
