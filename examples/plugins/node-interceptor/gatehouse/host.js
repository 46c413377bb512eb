'use strict';

// Calls the broker: HostService, with the plugin's token.

const { AsyncLocalStorage } = require('node:async_hooks');
const grpc = require('@grpc/grpc-js');
const contract = require('./contract');

// inHand is the CallToken of the hook that runs; undefined outside of hooks.
const inHand = new AsyncLocalStorage();

// Host is the broker, as far as the scopes in the plugin's configuration go.
class Host {
  constructor(target, token) {
    this.client = new contract.HostService(target, grpc.credentials.createInsecure(), contract.options);
    this.metadata = new grpc.Metadata();
    this.metadata.set('gatehouse-token', token);
  }

  // call makes any call of HostService: await host.call('GetClient', { client_id: 'a' }).
  call(method, request, seconds = 30) {
    return new Promise((resolve, reject) => {
      const deadline = new Date(Date.now() + seconds * 1000);
      this.client[method](request, this.metadata, { deadline }, (err, answer) => (err ? reject(err) : resolve(answer)));
    });
  }

  // publish publishes a message; scope publish. Inside of a hook it goes out
  // after the message in hand.
  publish(topic, payload = '', fields = {}) {
    const message = { topic, payload: Buffer.from(payload), ...fields };
    return this.call('Publish', { message, call: inHand.getStore() });
  }

  close() {
    this.client.close();
  }
}

module.exports = { Host, inHand };
