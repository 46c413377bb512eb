'use strict';

// Standard error as the broker reads it: one JSON object a line.

const levels = ['trace', 'debug', 'info', 'warn', 'error'];
let lowest = levels.indexOf('info');

function setLevel(name) {
  const n = levels.indexOf(name);
  if (n >= 0) lowest = n;
}

// Nobody reads it any more when the broker is gone, which is no reason to fail.
process.stderr.on('error', () => {});

// logger has a method for each level: log.info('opened', { file }). Of an Error
// among the attributes its stack is written.
function logger(module) {
  const log = {};
  levels.forEach((level, n) => {
    log[level] = (message, attributes = {}) => {
      if (n < lowest) return;
      const line = { '@level': level, '@message': String(message), '@timestamp': new Date().toISOString(), '@module': module };
      for (const [k, v] of Object.entries(attributes)) line[k] = v instanceof Error ? v.stack : v;
      process.stderr.write(`${JSON.stringify(line, (_, v) => (typeof v === 'bigint' ? v.toString() : v))}\n`);
    };
  });
  return log;
}

module.exports = { logger, setLevel };
