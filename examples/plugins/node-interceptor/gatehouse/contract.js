'use strict';

// The contract, from the .proto files in folder proto.

const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const root = path.join(__dirname, 'proto');
const folder = 'gatehouse/plugin/v1';
const files = fs.readdirSync(path.join(root, folder)).filter((f) => f.endsWith('.proto'));

const definition = loader.loadSync(files.map((f) => `${folder}/${f}`), {
  includeDirs: [root],
  keepCase: true, // the names of the contract
  longs: String, // they may be larger than a number holds
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
  oneofs: true, // call.call says which
});

// options are those of the broker's connections, on both sides.
const options = {
  'grpc.max_receive_message_length': 512 * 1024 * 1024,
  'grpc.max_send_message_length': -1,
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
};

module.exports = { ...grpc.loadPackageDefinition(definition).gatehouse.plugin.v1, api: 'gatehouse.plugin.v1', options };
