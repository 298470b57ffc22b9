// The adapter as a child process: its own file, its own ports, its own state, on loopback.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Child } from './child.mjs';
import { root, tool } from './paths.mjs';
import { PATIENCE_MS } from './patience.mjs';
import { ports } from './ports.mjs';

export const DOMAIN = 'example.test';
export const password = (user) => `secret-${user}`;
const USERS = ['1001', '1002', '1003', '1004', '1005', '1006', '1007'];

const executable = () => {
  const named = process.env.IFBUS_BIN;
  if (named) return path.resolve(root, named);
  return path.join(root, 'target', 'debug', 'ifbus');
};

export class Adapter {
  domain = DOMAIN;

  /// Options: `users` (names; passwords by `password`), `auth` ("digest" or "open"), `bus` ("managed", "off" or an
  /// address), `limits` (lines of that section), `extra` (lines after all others), `listen` (transports).
  static async start(folder, options) {
    const adapter = new Adapter(folder, await ports(7), options);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(adapter.file, adapter.#config());
    await adapter.run();
    return adapter;
  }

  constructor(folder, [udp, tcp, ws, wss, http, bus, tls], options) {
    Object.assign(this, { folder, options, port: { udp, tcp, ws, wss, http, bus, tls } });
    this.host = '127.0.0.1';
    this.file = path.join(folder, 'ifbus.toml');
    this.state = path.join(folder, 'state');
    this.users = options.users ?? USERS;
  }

  get wss() {
    return `wss://127.0.0.1:${this.port.wss}/ws`;
  }

  get ws() {
    return `ws://127.0.0.1:${this.port.ws}/ws`;
  }

  uri(user) {
    return `sip:${user}@${this.domain}`;
  }

  /// Where the WSS listener itself serves the phone.
  phone_page() {
    return `https://127.0.0.1:${this.port.wss}/phone`;
  }

  /// The certificate it has made for itself.
  get certificate() {
    return path.join(this.state, 'tls', 'cert.pem');
  }

  /// What clients need to reach the bus: state_dir/bus.json as the adapter wrote it.
  get bus_file() {
    return path.join(this.state, 'bus.json');
  }

  get pid() {
    return this.child.pid;
  }

  #config() {
    const { auth = 'digest', bus = 'managed', extra = '', limits = [], listen = ['udp', 'tcp', 'ws', 'wss'] } = this.options;
    const lines = [
      '[node]', 'id = "e2e"', `state_dir = "${this.state}"`,
      '[bus]', `url = "${bus}"`, `port = ${this.port.bus}`, `server = "${tool('bin/nats-server')}"`,
      '[http]', `addr = "127.0.0.1:${this.port.http}"`,
      '[limits]', 'trusted = ["127.0.0.0/8"]', ...limits,
      '[[domain]]', `name = "${this.domain}"`, `auth = "${auth}"`,
    ];
    for (const transport of listen) {
      lines.push('[[listen]]', `transport = "${transport}"`, `addr = "127.0.0.1:${this.port[transport]}"`);
    }
    if (this.options.users_file) lines.splice(lines.indexOf('[[listen]]'), 0, `users_file = "${this.options.users_file}"`);
    for (const user of this.users) {
      lines.push('[[user]]', `aor = "${user}@${this.domain}"`, `password = "${password(user)}"`);
    }
    return `${lines.join('\n')}\n${extra}`;
  }

  /// Starts it, with the state it left behind the last time, and waits until it says it is ready.
  async run() {
    this.child = new Child(executable(), ['run', '--config', this.file], {
      log: path.join(this.folder, 'log'),
      cwd: this.folder,
      env: { ...process.env, PATH: `${tool('bin')}:${process.env.PATH}` },
    });
    const end = Date.now() + PATIENCE_MS;
    while (!(await this.ready())) {
      assert.equal(this.child.exit, null, `the adapter ended instead of getting ready:\n${this.child.tail()}`);
      assert.ok(Date.now() < end, `the adapter is not ready after ${PATIENCE_MS} ms:\n${this.child.tail()}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }

  async ready() {
    try {
      return (await fetch(`http://127.0.0.1:${this.port.http}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /// The samples of GET /metrics: name with labels -> value.
  async metrics() {
    const text = await (await fetch(`http://127.0.0.1:${this.port.http}/metrics`)).text();
    return new Map([...text.matchAll(/^([a-z_]+(?:\{.*\})?) ([0-9.eE+-]+)$/gm)].map(([, name, value]) => [name, Number(value)]));
  }

  /// Has it read its file again, with more in it.
  reload(more) {
    fs.appendFileSync(this.file, more);
    process.kill(this.pid, 'SIGHUP');
  }

  kill() {
    return this.child.kill('SIGKILL');
  }

  /// Ends it as an operator would. It must obey and say that all went well.
  async stop() {
    if (this.child.exit) return;
    const exit = await this.child.stop(PATIENCE_MS);
    assert.deepEqual(exit, { code: 0, signal: null }, `the adapter did not end cleanly:\n${this.child.tail()}`);
  }
}
