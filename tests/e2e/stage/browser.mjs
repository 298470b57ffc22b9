// One headless Chromium with one page and one phone in it: SIP.js or JsSIP, with its own tone as microphone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { here } from './paths.mjs';
import { PATIENCE_MS } from './patience.mjs';
import { split } from './sip.mjs';
import { write_tone } from './tone.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const HEARD_DB = -50;
const NEAR_HZ = 15;

const flags = (tone) => [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--ignore-certificate-errors',
  '--autoplay-policy=no-user-gesture-required', '--allow-loopback-in-peer-connection',
  `--use-file-for-fake-audio-capture=${tone}`,
];

const bundles = new Map();
const bundle = (library) => {
  if (!bundles.has(library)) {
    bundles.set(library, build({
      entryPoints: [path.join(here, 'browser', `${library}.mjs`)],
      bundle: true, write: false, format: 'esm', target: 'chrome120', logLevel: 'silent', define: { global: 'window' },
    }).then((made) => made.outputFiles[0].text));
  }
  return bundles.get(library);
};

/// A Chromium with nothing in it but a page at `url` (for pages that are the product's own, too).
export async function open_chromium(folder, hz, url) {
  fs.mkdirSync(folder, { recursive: true });
  const tone = path.join(folder, 'tone.wav');
  write_tone(tone, hz);
  const context = await chromium.launchPersistentContext(path.join(folder, 'profile'), {
    executablePath: EXECUTABLE,
    headless: false,
    timeout: PATIENCE_MS,
    ignoreHTTPSErrors: true,
    ignoreDefaultArgs: ['--mute-audio'],
    args: flags(tone),
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const [page] = context.pages();
  const log = path.join(folder, 'console');
  page.on('console', (line) => fs.appendFileSync(log, `${line.type()} ${line.text()}\n`));
  page.on('pageerror', (error) => fs.appendFileSync(log, `error ${error.stack}\n`));
  await page.goto(url);
  return { context, page };
}

export class Browser {
  /// Options: `server`, `user`, `password`, `hz` (its tone), `library` ("sipjs" or "jssip"), `ring` (what it does
  /// with a call: "wait", "answer" or "busy").
  static async start(folder, options) {
    const browser = new Browser();
    Object.assign(browser, { ring: 'wait', library: 'sipjs' }, options, { folder });
    const script = await bundle(browser.library);
    browser.web = http.createServer((request, response) => {
      const is_script = request.url.startsWith('/phone.js');
      response.setHeader('content-type', is_script ? 'text/javascript' : 'text/html');
      response.end(is_script ? script : fs.readFileSync(path.join(here, 'browser', 'page.html')));
    });
    await new Promise((ready) => browser.web.listen(0, '127.0.0.1', ready));
    const url = `http://127.0.0.1:${browser.web.address().port}/`;
    Object.assign(browser, await open_chromium(folder, browser.hz, url));
    await browser.page.waitForFunction(() => window.phone);
    await browser.page.evaluate((ring) => { window.phone.ring = ring; }, browser.ring);
    await browser.register();
    return browser;
  }

  async register() {
    const { server, user, password } = this;
    const account = { wss: server.wss, uri: server.uri(user), user, password };
    await this.page.evaluate((given) => window.phone.start(given), account);
  }

  call(target) {
    return this.page.evaluate(async (uri) => { await window.phone.call(uri); }, target);
  }

  answer() {
    return this.page.evaluate(async () => { await window.phone.answer(); });
  }

  hangup() {
    return this.page.evaluate(async () => { await window.phone.hangup(); });
  }

  hold(on) {
    return this.page.evaluate(async (yes) => { await window.phone.hold(yes); }, on);
  }

  /// What it does with the next call: "wait", "answer" or "busy".
  set_ring(ring) {
    return this.page.evaluate((how) => { window.phone.ring = how; }, ring);
  }

  /// All its calls, oldest first: {way, state, status}.
  calls() {
    return this.page.evaluate(() => window.phone.state());
  }

  async last() {
    return (await this.calls()).at(-1);
  }

  message(target, text) {
    return this.page.evaluate(async ([to, words]) => { await window.phone.message(to, words); }, [target, text]);
  }

  /// The texts of the messages it got.
  messages() {
    return this.page.evaluate(() => window.phone.messages);
  }

  /// Every SIP message so far, parsed into {way, at, text, start, headers, body}.
  async wire() {
    const raw = await this.page.evaluate(() => window.phone.wire);
    return raw.map((one) => ({ ...one, ...split(one.text) }));
  }

  /// Waits until its last call is in `state`.
  async reaches(stage, state) {
    await stage.until(`${this.user} (${this.library}) is ${state}`, async () => (await this.last())?.state === state);
  }

  /// Waits until it hears this tone loudest.
  async hears(stage, hz) {
    let heard;
    await stage.until(`${this.user} (${this.library}) hears ${hz} Hz`, async () => {
      heard = await this.page.evaluate(() => window.phone.hears());
      return heard && heard.db > HEARD_DB && Math.abs(heard.hz - hz) < NEAR_HZ;
    }).catch((error) => assert.fail(`${error.message}; loudest: ${JSON.stringify(heard)}`));
    return `${this.user} hears ${Math.round(heard.hz)} Hz`;
  }

  /// Waits until it hears nothing.
  async hears_nothing(stage) {
    await stage.until(`${this.user} hears nothing`, async () => {
      const heard = await this.page.evaluate(() => window.phone.hears());
      return !(heard?.db > HEARD_DB);
    });
  }

  async stop() {
    const wire = await this.wire().catch(() => []);
    fs.writeFileSync(path.join(this.folder, 'wire'), wire.map((m) => `-- ${m.way} ${m.at.toFixed(0)} ms\n${m.text}\n`).join(''));
    await this.context.close();
    await new Promise((done) => { this.web.closeAllConnections(); this.web.close(done); });
  }
}
