'use strict';

// What a plugin that keeps retained messages works with.
//
//   load()           an iterable of { message, revision }, asked for once at start
//   apply(changes)   makes all changes { op, topic, message, revision } or none,
//                    durably, in their order; returns the highest revision that
//                    it has seen. A change whose revision is not above the one
//                    that it has of that topic, or of a clear, is skipped: the
//                    same batch may come twice
//   stats()          { messages, bytes, revision, details }
//   snapshot()       optional: an iterable of records and of { topic, revision }
//
// Deletions leave a tombstone with their revision, so that an older change does
// not bring the message back. Calls of apply come one after the other. Revisions
// are strings of up to 64 bits: compare them as BigInt.

const put = 'CHANGE_OP_PUT';
const del = 'CHANGE_OP_DELETE';
const clear = 'CHANGE_OP_CLEAR';

// nonsense is what is wrong with a change that no broker makes; '' if nothing is.
function nonsense({ op, topic, message, revision }) {
  if (![put, del, clear].includes(op)) return `change ${revision} has no known operation`;
  if (op === put && !message?.topic) return `change ${revision} puts no message`;
  if (op === del && !topic) return `change ${revision} deletes no topic`;
  return '';
}

const partBytes = 1 << 20;
const partRecords = 512;

// parts cuts records and tombstones into parts of a streamed answer.
async function* parts(items, revision) {
  const fresh = () => ({ records: [], tombstones: [], revision });
  let part = fresh();
  let size = 0;
  let count = 0;
  for await (const item of items) {
    const n = item.message ? item.message.payload.length + 256 : 64;
    if (count && (size + n > partBytes || count >= partRecords)) {
      yield part;
      part = fresh();
      size = count = 0;
    }
    size += n;
    count++;
    (item.message ? part.records : part.tombstones).push(item);
  }
  yield part;
}

module.exports = { put, del, clear, nonsense, parts };
