"""What a plugin that keeps retained messages works with.

load()            a list or generator of Records, called once at start
apply(changes)    makes all changes or none, durably, in their order; returns the
                  highest revision that it has seen. A change whose revision is
                  not above the one that it has of that topic, or of a clear, is
                  skipped: the same batch may come twice
stats()           Stats
snapshot()        optional, with capability: an iterable of Records and Tombstones
max_message_bytes of the class: the largest message that it takes; 0 is no limit

Deletions leave a tombstone with their revision, so that an older change does
not bring the message back. Calls of apply come one after the other.
"""

from gatehouse.plugin.v1 import store_pb2

Record = store_pb2.RetainedRecord  # message, revision
Tombstone = store_pb2.Tombstone  # topic, revision
Change = store_pb2.Change  # op, topic, message, revision
Stats = store_pb2.StatsResponse  # messages, bytes, revision, details

PUT = store_pb2.CHANGE_OP_PUT
DELETE = store_pb2.CHANGE_OP_DELETE
CLEAR = store_pb2.CHANGE_OP_CLEAR


def nonsense(change):
    """What is wrong with a change that no broker makes; empty if nothing is."""
    if change.op not in (PUT, DELETE, CLEAR):
        return f"change {change.revision} has no known operation"
    if change.op == PUT and not change.message.topic:
        return f"change {change.revision} puts no message"
    if change.op == DELETE and not change.topic:
        return f"change {change.revision} deletes no topic"
    return ""


_PART = 1 << 20  # bytes of a part of a streamed answer


def parts(items, new):
    """Cuts items into parts; new makes one. Only the last one is not full."""
    part, size = new(), 0
    for item in items:
        n = item.ByteSize()
        if size and size + n > _PART:
            yield part
            part, size = new(), 0
        size += n
        if isinstance(item, Tombstone):
            part.tombstones.append(item)
        else:
            part.records.append(item)
    yield part
