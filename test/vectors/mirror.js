// Reads packets, one a line as {"version": N, "hex": "..."}, and prints for each
// what mqtt-packet's parser makes of it and what its generator writes for that.
'use strict'

const mqtt = require('mqtt-packet')
const readline = require('readline')
const { plain } = require('./plain.js')

readline.createInterface({ input: process.stdin }).on('line', line => {
  const { version, hex } = JSON.parse(line)
  const answer = { version, packets: [], chunks: [] }
  const parser = mqtt.parser({ protocolVersion: version })
  parser.on('error', e => { answer.error = e.message })
  parser.on('packet', p => {
    answer.packets.push(plain(p))
    try {
      answer.chunks.push(mqtt.generate(p, { protocolVersion: version }).toString('hex'))
    } catch (e) {
      answer.error = e.message
    }
  })
  parser.parse(Buffer.from(hex, 'hex'))
  console.log(JSON.stringify(answer))
})
