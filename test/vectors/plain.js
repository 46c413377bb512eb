// Packets of mqtt-packet as plain JSON: bytes as {"hex": ...}, user properties
// as pairs in their order, as far as mqtt-packet keeps it.
'use strict'

function plain (v) {
  if (Buffer.isBuffer(v)) return { hex: v.toString('hex') }
  if (Array.isArray(v)) return v.map(plain)
  if (v === null || typeof v !== 'object') return v
  const out = {}
  for (const [key, value] of Object.entries(v)) {
    out[key] = key === 'userProperties' ? pairs(value) : plain(value)
  }
  return out
}

function pairs (props) {
  return Object.entries(props).flatMap(([k, v]) => (Array.isArray(v) ? v : [v]).map(one => [k, String(one)]))
}

exports.plain = plain
