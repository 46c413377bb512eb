'use strict';

// Write Gatehouse plugins for Node.
//
// A plugin is a name and a class with the hooks that it has; serve makes a
// program of it:
//
//     const { serve, deny, allow, grant, reason } = require('./gatehouse');
//
//     class Door {
//       validate(connect) {
//         if (String(connect.password) !== 'sesame') return deny(reason.BAD_USER_NAME_OR_PASSWORD, 'say the word');
//         return allow(grant('home/%c/#'));
//       }
//     }
//
//     serve({ name: 'door', hooks: Door });
//
// What hooks are given are the messages of the contract as plain objects, with
// the names of proto/gatehouse/plugin/v1, where every field is explained: bytes
// are Buffers, enums their names, 64-bit numbers strings. What is absent in a
// message is undefined. The contract is read from the .proto files beside this
// one when the plugin starts.
//
// The class is made with { config, instance, dataDir, host, log } once the
// configuration is known. Its methods may be async; an error means that the
// plugin could not decide, and the broker's policy then does.
//
//   validate(connect)                     a Decision: allow(), deny(), abstain()
//   authenticate(connect, exchange)       the same, for enhanced authentication,
//                                           beside validate; see exchange.js
//   interceptPublish(call, client)        a Verdict: drop(), refuse(), disconnect(),
//   interceptSubscribe(call, client)        change(...); undefined lets it pass
//   interceptUnsubscribe(call, client)
//   interceptDeliver(call, client)
//   observe(events, dropped)              nothing
//   load(), apply(changes), stats()       a store, see store.js
//
// Optional: start(), stop(), health(), interest(), reconfigure(config), metrics().

module.exports = {
  ...require('./answers'),
  ConfigError: require('./config').ConfigError,
  ClientGone: require('./exchange').ClientGone,
  Degraded: require('./services').Degraded,
  serve: require('./process').serve,
};
