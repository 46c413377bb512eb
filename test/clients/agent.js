// Clients of MQTT.js that are told what to do, a command a line. See
// agent_test.go for what goes in and out.
'use strict'

const mqtt = require('mqtt')
const readline = require('readline')

function propertiesOf (m) {
  const p = {}
  if (m.contentType) p.contentType = m.contentType
  if (m.responseTopic) p.responseTopic = m.responseTopic
  if (m.correlation) p.correlationData = Buffer.from(m.correlation)
  if (m.expiry) p.messageExpiryInterval = m.expiry
  if (m.utf8) p.payloadFormatIndicator = true
  // MQTT.js keeps user properties by key: the order of keys is all there is.
  for (const [k, v] of m.user || []) {
    p.userProperties = p.userProperties || {}
    p.userProperties[k] = (p.userProperties[k] || []).concat(v)
  }
  return p
}

function messageOf (topic, payload, packet) {
  const p = packet.properties || {}
  return {
    topic,
    payload: payload.toString(),
    qos: packet.qos,
    retain: packet.retain,
    contentType: p.contentType || '',
    responseTopic: p.responseTopic || '',
    correlation: (p.correlationData || '').toString(),
    expiry: p.messageExpiryInterval || 0,
    utf8: p.payloadFormatIndicator === true,
    user: Object.entries(p.userProperties || {}).flatMap(([k, v]) => [].concat(v).map(one => [k, one])),
    ids: p.subscriptionIdentifier ? [].concat(p.subscriptionIdentifier) : []
  }
}

class Client {
  constructor (number) {
    this.number = number
    this.answer = e => this.say({ done: true, error: e ? String(e) : '' })
  }

  say (what) { process.stdout.write(JSON.stringify({ client: this.number, ...what }) + '\n') }

  connect ({ host, port, url, options }) {
    this.v5 = options.version === 5
    const o = {
      clientId: options.id,
      clean: options.clean,
      protocolVersion: options.version,
      protocolId: options.version === 3 ? 'MQIsdp' : 'MQTT',
      reconnectPeriod: 0
    }
    if (this.v5) o.properties = { sessionExpiryInterval: options.expiry || 0 }
    if (options.will) {
      o.will = { ...options.will, payload: Buffer.from(options.will.payload) }
      if (this.v5) o.will.properties = propertiesOf(options.will)
    }
    const c = this.client = mqtt.connect(url || `mqtt://${host}:${port}`, o)
    c.on('connect', ack => {
      const assigned = ack.properties && ack.properties.assignedClientIdentifier
      this.say({ done: true, connack: { present: ack.sessionPresent, assignedId: assigned || '' } })
    })
    c.on('message', (...m) => this.say({ message: messageOf(...m) }))
    c.on('error', this.answer)
    c.on('close', () => this.say({ ended: true }))
  }

  subscribe ({ subscription: s }) {
    const o = { qos: s.qos }
    if (this.v5) {
      Object.assign(o, { nl: !!s.noLocal, rap: !!s.retainAsPublished, rh: s.retainHandling || 0 })
      if (s.id) o.properties = { subscriptionIdentifier: s.id }
    }
    this.client.subscribe(s.filter, o, (e, granted) => {
      if (e) this.answer(e)
      else this.say({ done: true, code: granted[0].qos })
    })
  }

  unsubscribe ({ filter }) { this.client.unsubscribe(filter, this.answer) }

  publish ({ message: m }) {
    const o = { qos: m.qos, retain: m.retain }
    if (this.v5) o.properties = propertiesOf(m)
    // The library does not tell the reason code.
    this.client.publish(m.topic, m.payload, o, e => this.answer(e))
  }

  disconnect () { this.client.end() }
  drop () { this.client.stream.destroy() }
}

const clients = new Map()
readline.createInterface({ input: process.stdin }).on('line', line => {
  const { client: number, do: what, ...rest } = JSON.parse(line)
  if (!clients.has(number)) clients.set(number, new Client(number))
  clients.get(number)[what](rest)
})
