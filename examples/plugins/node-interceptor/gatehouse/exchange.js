'use strict';

// Enhanced authentication (MQTT 5, section 4.12): the client is asked more than
// once.

// ClientGone is thrown by challenge: the client went away, or took too long. Let
// it pass.
class ClientGone extends Error {
  constructor() {
    super('the client went away');
  }
}

// Exchange is one exchange, as authenticate(connect, exchange) gets it. again
// says that a connected client authenticates anew; connect.authentication_data is
// what the client said first.
class Exchange {
  constructor(stream) {
    this.again = false;
    this.stream = stream;
    this.said = []; // what the client said and nobody took
    this.waiting = []; // who waits for it
    this.over = false;
    const end = () => {
      this.over = true;
      this.waiting.splice(0).forEach(({ reject }) => reject(new ClientGone()));
    };
    stream.on('data', (r) => {
      const next = this.waiting.shift();
      if (next) next.resolve(r);
      else this.said.push(r);
    });
    for (const event of ['end', 'cancelled', 'error', 'close']) stream.on(event, end);
  }

  // next is the client's next word.
  next() {
    if (this.said.length) return Promise.resolve(this.said.shift());
    if (this.over) return Promise.reject(new ClientGone());
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  // challenge sends an AUTH packet and waits for the client's: an object with
  // authentication_data and user_properties. data is a Buffer or a string.
  challenge(data, { reason = '', userProperties = [] } = {}) {
    if (this.over) return Promise.reject(new ClientGone());
    const step = { reason, user_properties: userProperties };
    if (data !== undefined) step.authentication_data = Buffer.from(data);
    this.stream.write(step);
    return this.next();
  }
}

module.exports = { ClientGone, Exchange };
