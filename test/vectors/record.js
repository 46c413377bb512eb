// Prints the test vectors of npm's mqtt-packet, one JSON object a line. Its test
// file is run as it is, with a test framework that checks nothing and a
// mqtt-packet that takes notes: what its parser was fed and gave, and what its
// generator was given and wrote.
'use strict'

const Module = require('module')
const path = require('path')
const mqtt = require('mqtt-packet')
const { plain } = require('./plain.js')

// One packet is as large as packets may be, which is for another kind of test.
const tooLarge = 1 << 20

let name = ''
const notes = []

const checks = new Proxy({}, { get: () => () => {} })
function tape (title, run) {
  name = title
  run(checks)
}

const makeParser = mqtt.parser
mqtt.parser = opts => {
  const parser = makeParser(opts)
  const note = { kind: 'parse', name, version: version(opts), chunks: [], packets: [] }
  notes.push(note)
  // First in line, for the tests change what they are given.
  parser.on('packet', p => note.packets.push(plain(p)))
  parser.on('error', e => { note.error = e.message })
  const parse = parser.parse
  parser.parse = chunk => {
    if (chunk.length === 0 || chunk.length > tooLarge) {
      notes.splice(notes.indexOf(note), 1)
      return 0
    }
    note.chunks.push(chunk.toString('hex'))
    return parse.call(parser, chunk)
  }
  return parser
}

const generate = mqtt.generate
mqtt.generate = (packet, opts) => {
  if (packet.payload && packet.payload.length > tooLarge) return Buffer.alloc(0)
  const note = { kind: 'generate', name, version: version(opts), packets: [plain(packet)] }
  notes.push(note)
  try {
    const bytes = generate(packet, opts)
    note.chunks = [bytes.toString('hex')]
    return bytes
  } catch (e) {
    note.error = e.message
    throw e
  }
}

function version (opts) { return (opts && opts.protocolVersion) || 0 }

const load = Module._load
Module._load = function (request, ...rest) {
  return request === 'tape' ? tape : load.call(this, request, ...rest)
}
require(path.join(path.dirname(require.resolve('mqtt-packet')), 'test.js'))

for (const note of notes) console.log(JSON.stringify(note))
