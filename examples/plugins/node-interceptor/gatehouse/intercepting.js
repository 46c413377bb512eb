'use strict';

// MessageInterceptorService: the stream, and its unary twin.

const { inHand } = require('./host');

const methods = {
  publish: 'interceptPublish',
  subscribe: 'interceptSubscribe',
  unsubscribe: 'interceptUnsubscribe',
  deliver: 'interceptDeliver',
};

// Intercepting decides calls: those of one client one after the other, those
// of different clients at once.
class Intercepting {
  constructor(core) {
    this.core = core;
  }

  handlers() {
    return {
      Intercept: (call, done) => this.batch(call.request).then((answer) => done(null, answer), done),
      InterceptStream: (stream) => this.stream(stream),
    };
  }

  async batch({ clients, calls }) {
    this.core.ready();
    const known = new Map(clients.map((c) => [c.connection_id, c]));
    const lanes = new Map();
    const verdicts = await Promise.all(calls.map((c) => this.inOrder(lanes, c, known.get(c.connection_id))));
    return answers(verdicts);
  }

  stream(stream) {
    const clients = new Map();
    const lanes = new Map();
    let ready = []; // decided and not yet sent
    const flush = () => {
      const verdicts = ready;
      ready = [];
      if (!stream.destroyed && !stream.writableEnded) stream.write(answers(verdicts));
    };
    const send = (verdict) => {
      if (ready.push(verdict) === 1) setImmediate(flush); // with all that are decided by then
    };
    this.core.follow(stream);
    stream.on('data', (frame) => {
      for (const c of frame.clients) clients.set(c.connection_id, c);
      for (const c of frame.calls) {
        const verdict = this.inOrder(lanes, c, clients.get(c.connection_id));
        if (typeof verdict.then === 'function') verdict.then(send);
        else send(verdict);
      }
      for (const id of frame.forget) clients.delete(id);
    });
    stream.on('end', () => Promise.all(lanes.values()).then(() => setImmediate(() => stream.end())));
  }

  // inOrder decides a call when those of its client before it are decided. The
  // result is a promise only if something has to be waited for.
  inOrder(lanes, call, client) {
    const who = call.connection_id !== '0' ? call.connection_id : `${call.publish?.message?.publisher ?? call.deliver?.receiver ?? ''}`;
    const lane = `${call.call === 'deliver'} ${who}`;
    const before = lanes.get(lane);
    const verdict = before ? before.then(() => this.decide(call, client)) : this.decide(call, client);
    if (typeof verdict.then === 'function') {
      lanes.set(lane, verdict);
      verdict.then(() => {
        if (lanes.get(lane) === verdict) lanes.delete(lane);
      });
    }
    return verdict;
  }

  // decide never throws: an answer without an action means that the plugin could not decide.
  decide(call, client) {
    const { seq, connection_id, call: kind } = call;
    const about = call[kind];
    const failed = (err) => {
      this.core.log.error('the hook failed', { hook: methods[kind], err });
      return { seq, reason: err.message };
    };
    try {
      this.core.begin();
    } catch (err) {
      return { seq, reason: err.message };
    }
    try {
      const hook = this.core.value[methods[kind]];
      const run = () => hook?.call(this.core.value, about, client);
      const verdict = inHand.run({ connection_id, seq, hops: about?.message?.hops ?? 0 }, run);
      if (typeof verdict?.then === 'function') {
        return verdict.then((v) => ({ ...v, seq }), failed).finally(() => this.core.done());
      }
      this.core.done();
      return { ...verdict, seq };
    } catch (err) {
      this.core.done();
      return failed(err);
    }
  }
}

// answers are verdicts as an answer; calls that pass unchanged are only their numbers.
function answers(all) {
  const passed = [];
  const verdicts = [];
  for (const v of all) {
    if (v.action === undefined && v.reason === undefined) {
      const last = passed[passed.length - 1];
      if (last && BigInt(last.first_seq) + BigInt(last.count) === BigInt(v.seq)) last.count++;
      else passed.push({ first_seq: v.seq, count: 1 });
    } else {
      verdicts.push(v);
    }
  }
  return { passed, verdicts };
}

module.exports = { Intercepting, answers };
