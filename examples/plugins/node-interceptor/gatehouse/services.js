'use strict';

// The gRPC services of a plugin, over an author's class.

const grpc = require('@grpc/grpc-js');
const contract = require('./contract');
const { ConfigError, ConfigErrors, decode, schema } = require('./config');
const { interest } = require('./answers');
const { ClientGone, Exchange } = require('./exchange');
const { Host, inHand } = require('./host');
const { logger, setLevel } = require('./log');
const { Intercepting } = require('./intercepting');
const store = require('./store');

// Degraded is thrown by health(): the plugin works, with that limitation.
class Degraded extends Error {}

const messageFields = ['topic', 'payload', 'qos', 'retain', 'user_properties', 'expiry', 'content_type', 'response'];
const hooks = {
  interceptPublish: ['publish', messageFields],
  interceptSubscribe: ['subscribe', ['qos', 'subscription']],
  interceptUnsubscribe: ['unsubscribe', []],
  interceptDeliver: ['deliver', messageFields],
};

function has(plugin, method) {
  return typeof plugin.hooks.prototype[method] === 'function';
}

// services are the full names of the services that a plugin serves.
function services(plugin) {
  const served = {
    ConnectionValidatorService: has(plugin, 'validate'),
    MessageInterceptorService: Object.keys(hooks).some((h) => has(plugin, h)),
    ObserverService: has(plugin, 'observe'),
    RetainedStoreService: has(plugin, 'load') && has(plugin, 'apply') && has(plugin, 'stats'),
  };
  return Object.keys(served).filter((s) => served[s]).map((s) => `${contract.api}.${s}`);
}

// manifest is that of a plugin whose program is started by command.
function manifest(plugin, command) {
  const m = {
    schema: 1,
    name: plugin.name,
    version: plugin.version ?? '0.0.0',
    summary: plugin.summary,
    api: [contract.api],
    exec: { '*': command },
    services: services(plugin),
    env: plugin.env,
    exclusive: plugin.exclusive,
  };
  if (plugin.config) m.config_schema = schema(plugin.config, plugin.required);
  return m;
}

function status(code, details) {
  return Object.assign(new Error(details), { code, details });
}

// Core is a plugin that is being served, and what its services share.
class Core {
  constructor(plugin, command, { again = false } = {}) {
    this.plugin = plugin;
    this.again = again;
    this.manifest = manifest(plugin, command);
    this.log = logger(plugin.name);
    this.value = null; // the author's object, after a good Init
    this.running = 0;
    this.idle = []; // resolved when nothing runs
    this.streams = new Set();
    this.stopping = null; // the promise of stop
    this.onStop = () => {}; // told once, after the answer to the broker's Stop
  }

  register(server) {
    const all = {
      ConnectionValidatorService: {
        Validate: unary(async (r) => ({ decision: await this.hook('validate', r.connect) })),
        Authenticate: (stream) => this.authenticate(stream),
      },
      MessageInterceptorService: new Intercepting(this).handlers(),
      ObserverService: this.observing(),
      RetainedStoreService: this.storing(),
    };
    for (const name of services(this.plugin)) {
      const short = name.slice(contract.api.length + 1);
      server.addService(contract[short].service, all[short]);
    }
    server.addService(contract.PluginService.service, this.pluginService());
    server.addService(health.service, health.handlers);
  }

  // has tells whether the author wrote a method.
  has(method) {
    return has(this.plugin, method);
  }

  // ready throws for a call that came too early or too late.
  ready() {
    if (this.stopping) throw status(grpc.status.UNAVAILABLE, 'plugin is stopping');
    if (!this.value) throw status(grpc.status.FAILED_PRECONDITION, 'plugin is not initialised: call Init first');
  }

  begin() {
    this.ready();
    this.running++;
  }

  done() {
    if (--this.running === 0) this.idle.splice(0).forEach((resolve) => resolve());
  }

  // hook runs a hook. What it throws is logged, and a status for the broker.
  async hook(name, ...args) {
    this.begin();
    try {
      return await this.value[name](...args);
    } catch (err) {
      if (err instanceof ClientGone) throw status(grpc.status.CANCELLED, err.message);
      this.log.error('the hook failed', { hook: name, err });
      throw status(grpc.status.UNKNOWN, `${name}: ${err.message}`);
    } finally {
      this.done();
    }
  }

  // drained resolves when no hook runs.
  drained() {
    return this.running ? new Promise((resolve) => this.idle.push(resolve)) : Promise.resolve();
  }

  // init makes the plugin. A bad configuration is an answer; another Init may follow.
  async init(request) {
    if (this.value && !this.again) throw status(grpc.status.FAILED_PRECONDITION, 'plugin is initialised already');
    setLevel(request.log_level);
    const answer = {
      name: this.manifest.name,
      version: this.manifest.version,
      services: this.manifest.services,
      capabilities: {
        intercept_stream: true,
        observe_stream: true,
        idempotent: Boolean(this.plugin.idempotent),
        exclusive: Boolean(this.plugin.exclusive),
        reconfigure: this.has('reconfigure'),
        snapshot: this.has('snapshot'),
        enhanced_authentication: this.has('validate') && this.has('authenticate'),
      },
    };
    let host = null;
    try {
      const config = this.configuration(request.config_json);
      await this.end();
      if (request.host_target) host = new Host(request.host_target, request.host_token);
      const value = new this.plugin.hooks({
        config, host, instance: request.instance, dataDir: request.data_dir, log: logger(request.instance || this.plugin.name),
      });
      await value.start?.();
      answer.interest = this.interest(value);
      this.value = value;
      this.host = host;
    } catch (err) {
      host?.close();
      answer.diagnostics = this.diagnostics(err);
    }
    return answer;
  }

  // interest is what it wants to be asked; by default everything that its hooks can be asked.
  interest(value) {
    if (typeof value.interest === 'function') return value.interest();
    return Object.entries(hooks).filter(([method]) => this.has(method)).map(([, [hook, mayChange]]) => interest(hook, { mayChange }));
  }

  configuration(text) {
    const config = decode(text, this.plugin.config, this.plugin.required);
    this.plugin.check?.(config);
    return config;
  }

  // diagnostics are an error as remarks about the configuration.
  diagnostics(err) {
    let many = [err];
    if (err instanceof ConfigErrors) many = err.errors;
    else if (!(err instanceof ConfigError)) this.log.error('the plugin can\'t start', { err });
    return many.map((e) => ({
      severity: 'SEVERITY_ERROR', message: (e.text ?? e.message).replace(/\s+/g, ' '), path: e.path ?? '',
    }));
  }

  // stop takes no new calls, waits for those that run, and stops the plugin; the first call does.
  stop(seconds = 5) {
    this.stopping ??= (async () => {
      const late = new Promise((resolve) => setTimeout(resolve, seconds * 1000, 'late').unref());
      if (await Promise.race([this.drained(), late]) === 'late') this.log.warn('calls were still running when the plugin was stopped');
      for (const s of this.streams) s.end();
      await this.end();
    })();
    return this.stopping;
  }

  async end() {
    const { value, host } = this;
    this.value = this.host = null;
    try {
      await value?.stop?.();
    } finally {
      host?.close();
    }
  }

  pluginService() {
    return {
      Describe: unary(() => ({ manifest_json: Buffer.from(JSON.stringify(this.manifest)) })),
      Init: unary((r) => this.init(r)),
      ValidateConfig: unary((r) => {
        try {
          this.configuration(r.config_json);
          return {};
        } catch (err) {
          return { diagnostics: this.diagnostics(err) };
        }
      }),
      Reconfigure: unary((r) => this.reconfigure(r)),
      CheckHealth: unary(() => this.health()),
      CollectMetrics: unary(async () => ({ prometheus_text: Buffer.from((await this.value?.metrics?.()) ?? '') })),
      Drain: unary(async () => {
        await this.drained();
        return {};
      }),
      Stop: unary(async () => {
        await this.stop().finally(() => setImmediate(this.onStop));
        return {};
      }),
    };
  }

  async reconfigure(request) {
    if (!this.has('reconfigure')) throw status(grpc.status.UNIMPLEMENTED, 'plugin takes a new configuration only when it is started');
    this.ready();
    try {
      await this.value.reconfigure(this.configuration(request.config_json));
      return { interest: this.interest(this.value) };
    } catch (err) {
      return { diagnostics: this.diagnostics(err), interest: this.interest(this.value) };
    }
  }

  async health() {
    try {
      if (!this.value) return { status: 'HEALTH_STATUS_READY', message: 'waits for Init' };
      await this.value.health?.();
      return { status: 'HEALTH_STATUS_READY' };
    } catch (err) {
      return { status: err instanceof Degraded ? 'HEALTH_STATUS_DEGRADED' : 'HEALTH_STATUS_UNHEALTHY', message: err.message };
    }
  }

  // authenticate leads one enhanced authentication over a stream of its own.
  async authenticate(stream) {
    this.follow(stream);
    const exchange = new Exchange(stream);
    try {
      if (!this.has('authenticate')) throw status(grpc.status.UNIMPLEMENTED, 'plugin has no enhanced authentication');
      const first = await exchange.next();
      exchange.again = first.reauthenticate;
      stream.write({ decision: await this.hook('authenticate', first.connect, exchange) });
      stream.end();
    } catch (err) {
      stream.destroy(err.code ? err : status(grpc.status.CANCELLED, err.message));
    }
  }

  observing() {
    const tell = ({ events, dropped }) => {
      const hops = Math.max(0, ...events.map((e) => e.message?.hops ?? 0));
      return inHand.run({ hops }, () => this.hook('observe', events, dropped));
    };
    return {
      Observe: unary(async (r) => {
        await tell(r);
        return {};
      }),
      ObserveStream: (stream) => {
        this.follow(stream);
        let batches = 0;
        let last = Promise.resolve();
        stream.on('data', (r) => {
          last = last.then(() => tell(r)).then(() => stream.write({ batches: ++batches }), (err) => stream.destroy(err));
        });
        stream.on('end', () => last.then(() => stream.end()));
      },
    };
  }

  storing() {
    let last = Promise.resolve();
    const limit = { max_message_bytes: this.plugin.maxMessageBytes ?? 0 };
    const send = async (stream, hook, fields) => {
      try {
        const { revision } = await this.hook('stats');
        for await (const part of store.parts(await this.hook(hook), revision)) {
          if (!stream.write({ ...part, ...fields })) await new Promise((resolve) => stream.once('drain', resolve));
        }
        stream.end();
      } catch (err) {
        stream.destroy(err.code ? err : status(grpc.status.UNKNOWN, err.message));
      }
    };
    return {
      Load: (stream) => send(stream, 'load', limit),
      Snapshot: (stream) => {
        if (this.has('snapshot')) send(stream, 'snapshot', {});
        else stream.destroy(status(grpc.status.UNIMPLEMENTED, 'store has no snapshots'));
      },
      Apply: unary((r) => {
        const wrong = r.changes.map(store.nonsense).find(Boolean);
        if (wrong) throw status(grpc.status.INVALID_ARGUMENT, wrong);
        const mine = last.then(() => this.hook('apply', r.changes));
        last = mine.catch(() => {});
        return mine.then((revision) => ({ revision, ...limit }));
      }),
      Stats: unary(() => this.hook('stats')),
    };
  }

  // follow has a stream end when the plugin stops.
  follow(stream) {
    this.streams.add(stream);
    stream.on('close', () => this.streams.delete(stream));
    stream.on('error', () => this.streams.delete(stream));
  }
}

// unary makes a handler of a function that may be async.
function unary(f) {
  return (call, done) => {
    Promise.resolve().then(() => f(call.request)).then((answer) => done(null, answer), done);
  };
}

// health is grpc.health.v1 as far as the broker asks: whether "plugin" serves.
// HealthCheckRequest is the service's name as field 1; status 1 is SERVING.
const bytes = (b) => b;
const health = {
  service: {
    Check: {
      path: '/grpc.health.v1.Health/Check', requestStream: false, responseStream: false,
      requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes,
    },
  },
  handlers: {
    Check(call, done) {
      const known = ['', '\x0a\x06plugin'].includes(call.request.toString('latin1'));
      done(known ? null : status(grpc.status.NOT_FOUND, 'unknown service'), known ? Buffer.from([0x08, 0x01]) : null);
    },
  },
};

module.exports = { Core, Degraded, manifest, hooks, unary };
