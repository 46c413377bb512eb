'use strict';

// Makes the answers of hooks, and what an interest is.

const contract = require('./contract');

// Reason codes of MQTT 5, section 2.4, of which a plugin has most use.
const reason = Object.freeze({
  UNSPECIFIED_ERROR: 0x80,
  IMPLEMENTATION_SPECIFIC_ERROR: 0x83,
  CLIENT_IDENTIFIER_NOT_VALID: 0x85,
  BAD_USER_NAME_OR_PASSWORD: 0x86,
  NOT_AUTHORIZED: 0x87,
  SERVER_UNAVAILABLE: 0x88,
  SERVER_BUSY: 0x89,
  BANNED: 0x8a,
  TOPIC_FILTER_INVALID: 0x8f,
  TOPIC_NAME_INVALID: 0x90,
  MESSAGE_RATE_TOO_HIGH: 0x96,
  QUOTA_EXCEEDED: 0x97,
  ADMINISTRATIVE_ACTION: 0x98,
  PAYLOAD_FORMAT_INVALID: 0x99,
  USE_ANOTHER_SERVER: 0x9c,
  SERVER_MOVED: 0x9d,
});

// named is a value of an enum of the contract by its lower-case name. One that
// the contract does not have would be sent as if nothing had been said.
function named(type, prefix, name) {
  const values = contract[type].type.value.filter((v) => v.number !== 0).map((v) => v.name);
  const full = prefix + String(name).toUpperCase();
  if (values.includes(full)) return full;
  throw new RangeError(`${name} is none of ${values.map((v) => v.slice(prefix.length).toLowerCase()).join(', ')}`);
}

// allow lets a client in. Without grants this validator sets no bounds;
// allowWith({ grants: { grants: [] } }) permits nothing.
function allow(...grants) {
  return allowWith(grants.length ? { grants: { grants } } : {});
}

// allowWith lets a client in with other fields of a Decision; durability is
// 'sync', 'interval' or 'none'.
function allowWith({ durability, ...fields }) {
  const d = { verdict: 'DECISION_VERDICT_ALLOW', ...fields };
  if (durability === undefined) return d;
  return { ...d, durability: named('Durability', 'DURABILITY_', durability) };
}

// deny refuses a client with a reason code, and words for those that understand MQTT 5.
function deny(code = reason.NOT_AUTHORIZED, why = '', fields = {}) {
  return { verdict: 'DECISION_VERDICT_DENY', reason_code: code, reason: why, ...fields };
}

// abstain leaves it to other validators. If all abstain the client is refused.
function abstain() {
  return { verdict: 'DECISION_VERDICT_ABSTAIN' };
}

// grant allows actions ('publish', 'subscribe', 'receive'; none is all) on a topic filter.
function grant(filter, { actions = [], allow = true, maximumQoS, retain } = {}) {
  const g = {
    effect: allow ? 'GRANT_EFFECT_ALLOW' : 'GRANT_EFFECT_DENY',
    actions: actions.map((a) => named('GrantAction', 'GRANT_ACTION_', a)),
    filter,
  };
  if (maximumQoS !== undefined) g.maximum_qos = maximumQoS;
  if (retain !== undefined) g.retain = retain;
  return g;
}

// drop goes no further; the sender is told that all is well.
function drop() {
  return { action: 'VERDICT_ACTION_DROP' };
}

// refuse goes no further; the sender is told why.
function refuse(code = reason.NOT_AUTHORIZED, why = '') {
  return { action: 'VERDICT_ACTION_REFUSE', reason_code: code, reason: why };
}

// disconnect goes no further, and ends the client's connection.
function disconnect(code = reason.ADMINISTRATIVE_ACTION, why = '') {
  return { action: 'VERDICT_ACTION_DISCONNECT', reason_code: code, reason: why };
}

// change passes a message with changes: fields of MessageChange. A payload may
// be a string; user_properties are the whole list, [{ key, value }].
function change(fields) {
  const message = { ...fields };
  for (const name of ['payload', 'correlation_data']) {
    if (typeof message[name] === 'string') message[name] = Buffer.from(message[name]);
  }
  if (message.user_properties) message.user_properties = { user_properties: message.user_properties };
  return { action: 'VERDICT_ACTION_PASS', message };
}

// lowerQoS grants a subscription with a lower quality of service.
function lowerQoS(subscription, qos) {
  return { action: 'VERDICT_ACTION_PASS', subscription: { ...subscription, qos: Math.min(qos, subscription.qos) } };
}

// interest is what a plugin wants to be asked at one hook, in lower-case names:
// interest('publish', { filters: ['in/#'], payload: 'none', mayChange: ['topic'] }).
function interest(hook, { filters = [], payload = 'full', payloadHeadBytes = 0, mayChange = [], events = [], origins = [], ...fields } = {}) {
  const names = (type, prefix, list) => list.map((n) => named(type, prefix, n));
  return {
    hook: named('Hook', 'HOOK_', hook),
    topic_filters: filters,
    payload: named('PayloadMode', 'PAYLOAD_MODE_', payload),
    payload_head_bytes: payloadHeadBytes,
    may_change: names('Field', 'FIELD_', mayChange),
    events: names('EventKind', 'EVENT_KIND_', events),
    origins: names('Origin', 'ORIGIN_', origins),
    ...fields,
  };
}

module.exports = { reason, allow, allowWith, deny, abstain, grant, drop, refuse, disconnect, change, lowerQoS, interest };
