'use strict';

// Notes in each message who published it, and refuses below json/ what is not JSON.

const { serve, change, refuse, interest, reason, ConfigError } = require('./gatehouse');

class Notary {
  constructor({ config, log }) {
    this.config = config;
    log.info('notes who published', { property: config.property });
  }

  interest() {
    return [interest('publish', { mayChange: ['user_properties'] })];
  }

  interceptPublish({ message }, client) {
    if (message.topic.startsWith('json/')) {
      try {
        JSON.parse(message.payload);
      } catch (err) {
        return refuse(reason.PAYLOAD_FORMAT_INVALID, err.message);
      }
    }
    const who = client ? client.client_id : 'nobody';
    return change({ user_properties: [...message.user_properties, { key: this.config.property, value: who }] });
  }
}

const plugin = {
  name: 'node-interceptor',
  version: '1.0.0',
  summary: 'notes who published a message, and refuses payloads that are not JSON',
  config: {
    property: { type: 'string', default: 'published-by', description: 'user property that names the publisher' },
  },
  check({ property }) {
    if (!property) throw new ConfigError('must not be empty', '/property');
  },
  hooks: Notary,
};

module.exports = plugin;

if (require.main === module) serve(plugin);
