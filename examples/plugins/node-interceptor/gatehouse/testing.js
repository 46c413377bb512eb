'use strict';

// For the tests of a plugin: in the test itself, or as the broker runs it.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const grpc = require('@grpc/grpc-js');
const contract = require('./contract');
const { decode } = require('./config');

const quiet = Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, () => {}]));

// make gives a plugin's object with that configuration, without a broker. Its
// hooks are called as methods.
async function make(plugin, options = {}, dataDir = '') {
  const config = decode(Buffer.from(JSON.stringify(options)), plugin.config, plugin.required);
  plugin.check?.(config);
  const value = new plugin.hooks({ config, host: null, instance: plugin.name, dataDir, log: quiet });
  await value.start?.();
  return value;
}

// connect is the CONNECT of an MQTT 5 client over TCP.
function connect(clientId, fields = {}) {
  const c = {
    connection_id: '1', client_id: clientId, protocol_level: 5, clean_start: true, keep_alive_seconds: 60,
    peer_address: '192.0.2.1:50000', local_address: '192.0.2.100:1883', listener: 'default', transport: 'tcp', ...fields,
  };
  if (typeof c.password === 'string') c.password = Buffer.from(c.password);
  return c;
}

// message is one that a client published.
function message(topic, payload = '', fields = {}) {
  const bytes = Buffer.from(payload);
  return { topic, payload: bytes, payload_size: String(bytes.length), qos: 1, origin: 'ORIGIN_CLIENT', user_properties: [], ...fields };
}

// client is what hooks after the CONNECT are told of a client.
function client(clientId, fields = {}) {
  return { connection_id: '1', client_id: clientId, protocol_level: 5, items: {}, ...fields };
}

// launch runs a plugin's program as the broker does: handshake and Init. Its
// call makes a call: await p.call('ConnectionValidatorService', 'Validate', { connect });
// its stop stops it and gives the exit code.
async function launch(script, options = {}) {
  const run = fs.mkdtempSync(path.join(os.tmpdir(), 'gh')); // short: the path of a socket is limited
  const child = spawn(process.execPath, [script], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    env: {
      GATEHOUSE_PLUGIN: '9f4c1f6e-gatehouse-plugin', PLUGIN_PROTOCOL_VERSIONS: '1', PLUGIN_UNIX_SOCKET_DIR: run,
      GATEHOUSE_LIFELINE_FD: '3', PATH: process.env.PATH,
    },
  });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  const line = await new Promise((resolve) => {
    readline.createInterface(child.stdout).once('line', resolve);
    exited.then(() => resolve(''));
  });
  const [core, version, network, address] = line.split('|');
  if (core !== '1' || version !== '1' || network !== 'unix') {
    child.kill('SIGKILL');
    throw new Error(`no handshake: ${JSON.stringify(line)}`);
  }
  const clients = [];
  const call = (service, method, request) => new Promise((resolve, reject) => {
    const c = new contract[service](`unix:${address}`, grpc.credentials.createInsecure(), contract.options);
    clients.push(c);
    c[method](request, { deadline: Date.now() + 10000 }, (err, answer) => (err ? reject(err) : resolve(answer)));
  });
  const init = await call('PluginService', 'Init', {
    instance: 'test', config_json: Buffer.from(JSON.stringify(options)), data_dir: run, log_level: 'warn',
  });
  const stop = async () => {
    await call('PluginService', 'Stop', {});
    clients.forEach((c) => c.close());
    const code = await exited;
    fs.rmSync(run, { recursive: true, force: true });
    return code;
  };
  return { init, call, stop };
}

module.exports = { make, connect, message, client, launch };
