'use strict';

// A plugin that authenticates by counting, and asks the broker what topics below
// ask/ name.

const grpc = require('@grpc/grpc-js');
const { serve, allowWith, deny, refuse, interest, reason } = require('./gatehouse');

class Probe {
  constructor({ host }) {
    this.host = host;
  }

  interest() {
    return [interest('connect'), interest('publish', { filters: ['ask/#'] })];
  }

  validate() {
    return allowWith({ durability: 'none' });
  }

  async authenticate(connect, exchange) {
    if (connect.authentication_method !== 'COUNT') return deny(0x8c, 'count');
    const said = [String(connect.authentication_data)];
    for (const n of ['one', 'two']) {
      said.push(String((await exchange.challenge(n, { reason: 'go on' })).authentication_data));
    }
    if (said.slice(1).join() !== 'two,three') return deny(reason.NOT_AUTHORIZED, 'that is not counting');
    return allowWith({ authentication_data: Buffer.from(said.join(' ')) });
  }

  async interceptPublish(call) {
    let found;
    try {
      found = await this.ask(call.message.topic.slice('ask/'.length), String(call.message.payload));
    } catch (err) {
      found = grpc.status[err.code] ?? err.message;
    }
    return refuse(reason.IMPLEMENTATION_SPECIFIC_ERROR, found);
  }

  async ask(what, arg) {
    const { host } = this;
    switch (what) {
      case 'publish': {
        const done = await host.publish(arg, 'of the plugin', { qos: 1 });
        return done.receivers === 1 || done.later ? 'receivers 1 or later' : JSON.stringify(done);
      }
      case 'client': {
        const { client } = (await host.call('GetClient', { client_id: arg })).client;
        return `${client.client_id} at level ${client.protocol_level}`;
      }
      case 'durability':
        return (await host.call('GetSession', { client_id: arg })).session.durability;
      case 'clients': {
        const ids = (await host.call('ListClients', { limit: 100 })).clients.map((c) => c.client.client_id);
        return ids.includes('me') ? 'me among them' : ids.join();
      }
      case 'retain': {
        const message = { topic: arg, payload: Buffer.from('kept'), qos: 1, retain: true };
        return `revision ${(await host.call('PutRetained', { message })).revision}`;
      }
      case 'retained': {
        const { message } = await host.call('GetRetained', { topic: arg });
        return `${message.topic}=${message.payload}`;
      }
      case 'retained-list':
        return (await host.call('ListRetained', { filter: arg, limit: 10 })).messages.map((m) => m.topic).join(' ');
      case 'share':
        return (await host.call('PutShared', { key: arg, value: Buffer.from('shared'), if_version: 0 })).written ? 'written' : 'not written';
      case 'shared': {
        const { value, version } = await host.call('GetShared', { key: arg });
        return `${value} at version ${version}`;
      }
      case 'disconnect':
        return JSON.stringify(await host.call('DisconnectClient', { client_id: arg }));
      default:
        return 'what?';
    }
  }
}

serve({ name: 'probe', hooks: Probe });
