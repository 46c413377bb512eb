'use strict';

// The plugin as a process of the broker's: command line, handshake, log, and
// every way to end.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { Console } = require('node:console');
const grpc = require('@grpc/grpc-js');
const contract = require('./contract');
const { Core, manifest } = require('./services');

const cookie = ['GATEHOUSE_PLUGIN', '9f4c1f6e-gatehouse-plugin'];
const lifeline = 'GATEHOUSE_LIFELINE_FD';
const protocol = '1';

const stopSeconds = 5; // that a plugin has to stop when nobody gives it a time

// serve makes the program a plugin: { name, version, summary, config, required,
// check, hooks, env, exclusive, idempotent, maxMessageBytes }. config are the
// properties of the configuration's JSON Schema, required the names of those
// that must be given.
//
//   PLUGIN                    serves the broker that started it
//   PLUGIN describe           prints the manifest
//   PLUGIN -version           prints name and version
//   PLUGIN -standalone DIR    serves under a debugger; a broker with the plugin directory DIR uses it
function serve(plugin) {
  const command = ['node', path.basename(process.argv[1])];
  const args = process.argv.slice(2);
  if (args.join(' ') === 'describe') {
    process.stdout.write(`${JSON.stringify(manifest(plugin, command), null, 2)}\n`);
  } else if (args.join(' ') === '-version') {
    process.stdout.write(`${plugin.name} ${plugin.version ?? '0.0.0'}\n`);
  } else if (args.length === 2 && args[0] === '-standalone') {
    standalone(plugin, command, args[1]);
  } else if (args.length || process.env[cookie[0]] !== cookie[1]) {
    process.stderr.write(`${plugin.name} is a Gatehouse plugin: the broker starts it. By hand: describe, -version, -standalone DIR\n`);
    process.exitCode = args.length ? 2 : 1;
  } else {
    serveBroker(plugin, command);
  }
}

async function serveBroker(plugin, command) {
  const core = new Core(plugin, command);
  const folder = process.env.PLUGIN_UNIX_SOCKET_DIR;
  if (!folder || !(process.env.PLUGIN_PROTOCOL_VERSIONS ?? '').split(',').includes(protocol)) {
    core.log.error('the broker offers no Unix socket, or no plugin protocol that this plugin speaks');
    process.exit(1);
  }
  process.on('SIGINT', () => {}); // Ctrl-C in the broker's terminal is the broker's business
  const socket = path.join(folder, 'plugin.sock');
  const server = await listen(core, socket);
  const end = () => finish(core, server);
  core.onStop = end;
  process.on('SIGTERM', end);
  watch(core, end);
  fs.writeSync(1, `1|${protocol}|unix|${socket}|grpc|\n`);
  // From here on nothing but log lines: what is printed goes where the log goes.
  globalThis.console = new Console(process.stderr);
  process.stdout.write = process.stderr.write.bind(process.stderr);
}

function listen(core, socket) {
  const server = new grpc.Server(contract.options);
  core.register(server);
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (err) => (err ? reject(err) : resolve(server)));
  });
}


// finish stops the plugin if that was not done, and the process.
async function finish(core, server) {
  setTimeout(() => process.exit(1), (stopSeconds + 2) * 1000).unref();
  let code = 0;
  try {
    await core.stop(stopSeconds);
  } catch (err) {
    core.log.error('stopping the plugin failed', { err });
    code = 1;
  }
  const exit = () => process.exit(code);
  server.tryShutdown(exit);
  setTimeout(exit, 500); // the broker waits a second, whoever else holds a connection open
}

// watch ends the plugin when the broker is gone, however it went.
function watch(core, end) {
  const parent = process.ppid;
  let once = () => {
    once = () => {};
    core.log.warn('the broker is gone, exiting');
    end();
  };
  const gone = () => once();
  if (process.env[lifeline]) {
    const pipe = new net.Socket({ fd: Number(process.env[lifeline]), readable: true, writable: false });
    pipe.on('data', () => {}).on('end', gone).on('error', gone);
    pipe.unref();
  }
  setInterval(() => process.ppid !== parent && gone(), 1000).unref();
}

async function standalone(plugin, command, folder) {
  const core = new Core(plugin, command, { again: true });
  const own = fs.mkdtempSync(path.join(os.tmpdir(), 'gatehouse-'));
  const socket = path.join(own, 'plugin.sock');
  const attach = path.join(folder, plugin.name, 'attach.json');
  const server = await listen(core, socket);
  fs.mkdirSync(path.dirname(attach), { recursive: true, mode: 0o700 });
  fs.writeFileSync(`${attach}.new`, JSON.stringify({
    schema: 1, name: plugin.name, version: plugin.version ?? '0.0.0', address: `unix://${socket}`, pid: process.pid, started: new Date().toISOString(),
  }), { mode: 0o600 });
  fs.renameSync(`${attach}.new`, attach);
  process.stderr.write(`${plugin.name} serves on unix://${socket}\n  attach file:  ${attach}\n  Ctrl-C stops it\n`);
  process.on('exit', () => {
    fs.rmSync(attach, { force: true });
    fs.rmSync(own, { recursive: true, force: true });
  });
  const end = () => finish(core, server);
  core.onStop = end;
  process.on('SIGINT', end).on('SIGTERM', end);
}

module.exports = { serve };
