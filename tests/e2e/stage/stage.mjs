// What a story stands on: it starts servers and clients through the stage, and the stage ends them all, last
// first, however the story ends.
import assert from 'node:assert/strict';
import path from 'node:path';
import { Adapter } from './adapter.mjs';
import { Baresip } from './baresip.mjs';
import { Browser } from './browser.mjs';
import { BusClient } from './bus.mjs';
import { Kamailio } from './kamailio.mjs';
import { PATIENCE_MS } from './patience.mjs';
import { PhonePage } from './phone_page.mjs';
import { sipp } from './sipp.mjs';

export class Stage {
  #closers = [];
  #names = new Map();
  seen = [];

  constructor(logs) {
    this.logs = logs;
  }

  /// The server under test: the adapter, or Kamailio as a stand-in that tells a fault of the harness from one
  /// of the adapter (SERVER=kamailio). `options`: see Adapter.start.
  server(options = {}) {
    const kind = process.env.SERVER === 'kamailio' ? Kamailio : Adapter;
    return this.keep(kind.start(this.folder('server'), options));
  }

  browser(options) {
    return this.keep(Browser.start(this.folder('browser'), options));
  }

  /// The product's own phone, registered or about to be: see PhonePage.
  phone_page(options) {
    return this.keep(PhonePage.open(this.folder('page'), options));
  }

  baresip(options) {
    return this.keep(Baresip.start(this.folder('baresip'), options));
  }

  /// A NATS client in Python, on the bus of `server`.
  bus(server, options = {}) {
    return this.keep(BusClient.start(this.folder('bus'), server, options));
  }

  /// One run of a sipp scenario; resolves to its counts when sipp is done.
  sipp(options) {
    return sipp(this.folder('sipp'), options, (close) => this.onClose(close));
  }

  async keep(starting) {
    const actor = await starting;
    this.onClose(() => actor.stop());
    return actor;
  }

  onClose(close) {
    this.#closers.push(close);
  }

  folder(kind) {
    const number = (this.#names.get(kind) ?? 0) + 1;
    this.#names.set(kind, number);
    return path.join(this.logs, `${kind}-${number}`);
  }

  evidence(line) {
    this.seen.push(line);
  }

  /// Waits until `look` returns something true, and returns it.
  async until(what, look, limit_ms = PATIENCE_MS) {
    const end = Date.now() + limit_ms;
    for (;;) {
      const found = await look();
      if (found) return found;
      assert.ok(Date.now() < end, `not within ${limit_ms} ms: ${what}`);
      await new Promise((wake) => setTimeout(wake, 25));
    }
  }

  async within(limit_ms, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not within ${limit_ms} ms: ${what}`)), limit_ms);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async close() {
    let first;
    for (const close of this.#closers.reverse()) {
      try {
        await close();
      } catch (error) {
        first ??= error;
      }
    }
    if (first) throw first;
  }
}
