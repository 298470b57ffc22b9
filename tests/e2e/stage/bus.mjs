// An agent in Python (nats-py) on the adapter's bus: what a story tells it to ask, and every event it has heard.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { Child } from './child.mjs';
import { here, tool } from './paths.mjs';

const PREFIX = 'ifbus.sip.v1.default';
const STREAM = 'IFBUS_EVT';

export class BusClient {
  #waiting = new Map();
  #known = new Set();
  #orders = 0;
  events = [];

  /// Options: `agent` (its name on the bus), `file` (where the bus is; else the one the adapter wrote).
  static async start(folder, server, { agent = 'e2e', file = server.bus_file } = {}) {
    const client = new BusClient();
    client.agent = agent;
    fs.mkdirSync(folder, { recursive: true });
    client.child = new Child(tool('python/bin/python'), [path.join(here, 'bus', 'client.py'), file], {
      log: path.join(folder, 'log'), stdin: 'pipe',
    });
    const connected = new Promise((resolve) => { client.#waiting.set('connected', resolve); });
    readline.createInterface({ input: client.child.stdout }).on('line', (line) => client.#take(JSON.parse(line), folder));
    await Promise.race([connected, client.child.ended]);
    assert.equal(client.child.exit, null, `the NATS client ended:\n${client.child.tail()}`);
    await client.#order({ do: 'subscribe', subject: `${PREFIX}.evt.>` });
    return client;
  }

  #take(line, folder) {
    fs.appendFileSync(path.join(folder, 'heard'), `${JSON.stringify(line)}\n`);
    if (line.connected) this.#waiting.get('connected')();
    else if (line.heard) this.#hear({ subject: line.heard.subject, ...line.heard.body });
    else this.#waiting.get(line.id)(line);
  }

  /// Delivery is at least once.
  #hear(event) {
    if (this.#known.has(event.id)) return;
    this.#known.add(event.id);
    this.events.push(event);
  }

  async #order(order) {
    this.#orders += 1;
    const id = this.#orders;
    this.child.stdin.write(`${JSON.stringify({ id, ...order })}\n`);
    const line = await new Promise((resolve) => { this.#waiting.set(id, resolve); });
    assert.ok(!line.failed, `${order.do} ${order.subject}: ${line.failed}`);
    return line.done;
  }

  /// One command and its reply, as they are on the wire. `family` is the subject after `cmd.`: "agent", "query" or
  /// "call.<reference>".
  async send(family, verb, data = {}, frame = {}) {
    const subject = `${PREFIX}.cmd.${family}.${this.agent}.${verb}`;
    return (await this.#order({ do: 'request', subject, body: { ...frame, data } })).body;
  }

  /// The same, for one that must be accepted: what the reply says.
  async ask(family, verb, data, frame) {
    const reply = await this.send(family, verb, data, frame);
    assert.equal(reply.status, 'accepted', `${family} ${verb}: ${JSON.stringify(reply)}`);
    return reply.data;
  }

  originate(from, to, data = {}, frame = {}) {
    return this.ask('agent', 'originate', { from, to, ...data }, frame);
  }

  hangup(call, data = {}, frame = {}) {
    return this.ask(`call.${call}`, 'hangup', data, frame);
  }

  /// The events of one call so far, in the order heard.
  of_call(call) {
    return this.events.filter((event) => event.call === call);
  }

  /// The last event of a call with this name ("call.ended"), once there is one.
  async sees(stage, call, name) {
    let found;
    await stage.until(`${name} of ${call}, after ${this.story_of(call)}`, () => {
      found = this.of_call(call).findLast((event) => event.type === `ifbus.sip.${name}.v1`);
      return found;
    });
    return found;
  }

  /// The calls it knows of.
  calls() {
    return [...new Set(this.events.map((event) => event.call).filter(Boolean))];
  }

  story_of(call) {
    return told(this.of_call(call));
  }

  /// What JetStream has kept of `subject` (after the prefix).
  async kept(subject = 'evt.>') {
    const kept = await this.#order({ do: 'replay', stream: STREAM, subject: `${PREFIX}.${subject}` });
    return kept.map((one) => ({ subject: one.subject, ...one.body }));
  }

  async stop() {
    this.child.stdin.end();
    await this.child.stop();
  }
}

/// Events in few words: `created, ringing, answered, ended (caller: normal_clearing)`.
export function told(events) {
  return events.map(({ type, data }) => {
    const name = type.replace('ifbus.sip.call.', '').replace('.v1', '');
    return name === 'ended' ? `${name} (${data.cause.actor}: ${data.cause.reason})` : name;
  }).join(', ') || 'nothing';
}

/// Asserts what the contract says of the events of one ended call, and returns the terminal one: `seq` contiguous
/// from 1 in each epoch, epochs rising, one terminal event and that the last, its state terminal, a cause on each.
export function whole(events) {
  assert.ok(events.length, 'events');
  let [epoch, seq] = [events[0].epoch, 0];
  for (const event of events) {
    if (event.epoch !== epoch) {
      assert.ok(event.epoch > epoch, `epoch ${event.epoch} after ${epoch}`);
      assert.equal(event.type, 'ifbus.sip.call.recovered.v1', 'the first event of a new epoch');
      [epoch, seq] = [event.epoch, 0];
    }
    assert.equal(event.seq, seq + 1, `seq after ${seq} in ${told(events)}`);
    seq = event.seq;
    assert.ok(event.data.cause?.actor && event.data.cause?.reason, `a cause on ${event.type}`);
    assert.equal(event.data.call.call, event.call);
  }
  const ended = events.filter((event) => event.type === 'ifbus.sip.call.ended.v1');
  assert.equal(ended.length, 1, `terminal events in ${told(events)}`);
  assert.equal(events.at(-1), ended[0], `the terminal event is the last in ${told(events)}`);
  return ended[0];
}
