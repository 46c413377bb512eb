'use strict';

// A configuration by its JSON Schema, of which it knows type, properties,
// required, default, enum, items and minimum: strict, with every mistake told
// at once.

// ConfigError is what is wrong with a configuration, and where: path is a JSON
// pointer such as "/users/0".
class ConfigError extends Error {
  constructor(message, path = '') {
    super(path ? `${path}: ${message}` : message);
    this.text = message;
    this.path = path;
  }
}

// ConfigErrors are several of them.
class ConfigErrors extends Error {
  constructor(errors) {
    super(errors.map((e) => e.message).join('; '));
    this.errors = errors;
  }
}

// decode reads a JSON object; without properties it knows no keys.
function decode(text, properties, required = []) {
  let value;
  try {
    value = JSON.parse(text.length ? text.toString() : '{}');
  } catch (e) {
    throw new ConfigErrors([new ConfigError(`is not JSON: ${e.message}`)]);
  }
  const errors = [];
  const made = object(value, { properties: properties ?? {}, required }, '', errors);
  if (errors.length) throw new ConfigErrors(errors);
  return made;
}

// schema is the JSON Schema of a configuration.
function schema(properties, required = []) {
  const s = { type: 'object', properties, additionalProperties: false };
  if (required.length) s.required = required;
  return s;
}

function object(value, { properties = {}, required = [] }, path, errors) {
  if (kind(value) !== 'object') {
    errors.push(new ConfigError(`must be of type object, not ${kind(value)}`, path));
    return undefined;
  }
  const made = {};
  for (const [name, s] of Object.entries(properties)) {
    const at = `${path}/${name}`;
    if (Object.hasOwn(value, name)) made[name] = check(value[name], s, at, errors);
    else if (s.default !== undefined) made[name] = structuredClone(s.default);
    else if (required.includes(name)) errors.push(new ConfigError('is missing', at));
  }
  const known = Object.keys(properties);
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(properties, name)) continue;
    const hint = known.length ? `known keys: ${known.join(', ')}` : 'there is nothing to configure';
    errors.push(new ConfigError(`unknown key "${name}": ${hint}`, `${path}/${name}`));
  }
  return made;
}

function check(value, s, path, errors) {
  const got = kind(value);
  if (got !== s.type && !(s.type === 'number' && got === 'integer')) {
    errors.push(new ConfigError(`must be of type ${s.type}, not ${got}`, path));
    return undefined;
  }
  if (s.enum && !s.enum.includes(value)) {
    errors.push(new ConfigError(`must be one of ${s.enum.join(', ')}, not ${JSON.stringify(value)}`, path));
  }
  if (s.minimum !== undefined && value < s.minimum) {
    errors.push(new ConfigError(`must be at least ${s.minimum}, not ${value}`, path));
  }
  if (got === 'object' && s.properties) return object(value, s, path, errors);
  if (got === 'array' && s.items) return value.map((v, i) => check(v, s.items, `${path}/${i}`, errors));
  return value;
}

function kind(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

module.exports = { ConfigError, ConfigErrors, decode, schema };
