// A baresip phone of its own: a sine as microphone, what it hears goes to a WAV file, driven over its control
// port (JSON in netstrings).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Child } from './child.mjs';
import { PATIENCE_MS } from './patience.mjs';
import { ports } from './ports.mjs';
import { split } from './sip.mjs';
import { energy_at } from './tone.mjs';

const MODULES = fs.existsSync('/usr/lib/baresip/modules') ? '/usr/lib/baresip/modules' : '/usr/lib64/baresip/modules';
const PURE = 0.8;
const FAINT = 0.02;

export class Baresip {
  #socket;
  #unread = Buffer.alloc(0);
  #replies = new Map();
  #token = 0;
  events = [];

  /// Options: `server`, `user`, `password`, `hz`, `transport` ("udp", "tcp" or "tls"), `ring` ("wait" or "answer"),
  /// `certificate` (a file with a certificate and its key: it registers nowhere, and takes calls over TLS at `tls_port`).
  static async start(folder, options) {
    const phone = new Baresip();
    Object.assign(phone, { transport: 'udp', ring: 'wait' }, options, { folder });
    const [control] = await ports();
    // Where it listens for TLS follows from where it listens for the rest.
    const [sip, tls] = await ports(2);
    const [rtp] = await ports(10);
    phone.port = sip;
    phone.tls_port = tls;
    phone.#write(control, rtp);
    // Its own folder is its working directory: that is where the recordings go.
    phone.child = new Child('baresip', ['-f', folder, '-s'], { log: path.join(folder, 'log'), cwd: folder });
    await phone.#connect(control);
    if (!phone.certificate) await phone.#registered();
    return phone;
  }

  #write(control, rtp) {
    fs.mkdirSync(this.folder, { recursive: true });
    const { server, user, password, transport, ring, hz, certificate } = this;
    const proxy = `sip:${server.host}:${server.port[transport]};transport=${transport}`;
    fs.writeFileSync(path.join(this.folder, 'accounts'), certificate
      ? `<sip:${user}@127.0.0.1:${this.tls_port};transport=tls>;regint=0;audio_codecs=PCMU/8000/1\n`
      : `<sip:${user}@${server.domain};transport=${transport}>;auth_user=${user};auth_pass=${password};outbound="${proxy}"`
      + `;regint=600;answermode=${ring === 'answer' ? 'auto' : 'manual'};audio_codecs=PCMU/8000/1\n`);
    fs.writeFileSync(path.join(this.folder, 'contacts'), '');
    fs.writeFileSync(path.join(this.folder, 'config'), [
      `module_path ${MODULES}`,
      'module g711.so', 'module ausine.so', 'module sndfile.so', 'module_tmp account.so',
      'module_app menu.so', 'module_app ctrl_tcp.so',
      `ctrl_tcp_listen 127.0.0.1:${control}`,
      `sip_listen 127.0.0.1:${this.port}`,
      `rtp_ports ${rtp}-${rtp + 9}`,
      `audio_source ausine,${hz}`,
      'audio_player sndfile,.', 'audio_alert sndfile,.', 'ring_aufile none', 'ringback_aufile none',
      `snd_path ${this.folder}`,
      'audio_txmode thread', 'ausrc_srate 48000', 'auplay_srate 8000', 'ausrc_channels 2', 'auplay_channels 1',
      // Over TLS it believes the server's own certificate, and no other.
      ...(transport === 'tls' ? [`sip_cafile ${server.certificate}`, 'sip_verify_server yes'] : []),
      ...(certificate ? [`sip_certificate ${certificate}`] : []),
      'net_interface 127.0.0.1', 'call_local_timeout 120', 'call_max_calls 4',
    ].join('\n'));
  }

  async #connect(port) {
    const end = Date.now() + PATIENCE_MS;
    while (!this.#socket) {
      assert.equal(this.child.exit, null, `baresip ended:\n${this.child.tail()}`);
      assert.ok(Date.now() < end, `baresip does not open its control port:\n${this.child.tail()}`);
      this.#socket = await new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.once('connect', () => resolve(socket));
        socket.once('error', () => setTimeout(() => resolve(null), 50));
      });
    }
    this.#socket.on('error', () => {});
    this.#socket.on('data', (data) => {
      this.#unread = Buffer.concat([this.#unread, data]);
      for (let frame = this.#next(); frame; frame = this.#next()) this.#take(JSON.parse(frame));
    });
  }

  #next() {
    const colon = this.#unread.indexOf(':');
    const size = Number(this.#unread.subarray(0, Math.max(colon, 0)).toString());
    if (colon < 0 || this.#unread.length < colon + size + 2) return undefined;
    const frame = this.#unread.subarray(colon + 1, colon + 1 + size).toString();
    this.#unread = this.#unread.subarray(colon + size + 2);
    return frame;
  }

  #take(message) {
    if (message.event) this.events.push(message);
    else this.#replies.get(message.token)?.(message);
  }

  async command(command, params) {
    this.#token += 1;
    const token = String(this.#token);
    const text = JSON.stringify({ command, params, token });
    this.#socket.write(`${Buffer.byteLength(text)}:${text},`);
    const reply = await new Promise((resolve) => { this.#replies.set(token, resolve); });
    assert.ok(reply.ok, `baresip ${this.user}: ${command}: ${reply.data}`);
    return reply.data;
  }

  /// Its first REGISTER may be answered before the control port takes us, so the log says it.
  async #registered() {
    const end = Date.now() + PATIENCE_MS;
    while (!/\} 200 OK .*\[\d+ bindings?\]/.test(this.child.log())) {
      assert.ok(Date.now() < end && !this.child.exit, `baresip ${this.user} does not register:\n${this.child.tail(40)}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }

  call(uri) {
    return this.command('dial', uri);
  }

  answer() {
    return this.command('accept');
  }

  hangup() {
    return this.command('hangup');
  }

  hold(on) {
    return this.command(on ? 'hold' : 'resume');
  }

  /// The state of its newest call, in the words of the browsers' phones.
  state() {
    const words = {
      CALL_INCOMING: 'ringing', CALL_RINGING: 'ringing', CALL_PROGRESS: 'ringing', CALL_ESTABLISHED: 'answered', CALL_CLOSED: 'ended',
    };
    return this.events.map(({ type }) => words[type]).filter(Boolean).at(-1);
  }

  /// Why its newest call ended, as baresip says it.
  why() {
    return this.events.filter(({ type }) => type === 'CALL_CLOSED').at(-1)?.param;
  }

  async reaches(stage, state) {
    await stage.until(`${this.user} (baresip) is ${state}, and not ${this.state()}`, () => this.state() === state);
  }

  /// The newest recording of what it hears.
  #recording() {
    const files = fs.readdirSync(this.folder).filter((name) => /dec.*\.wav$/.test(name)).sort();
    return files.length ? path.join(this.folder, files.at(-1)) : undefined;
  }

  /// Waits until the last second of what it hears is this tone, and hardly any of its own.
  async hears(stage, hz) {
    let shares;
    await stage.until(`${this.user} (baresip) hears ${hz} Hz`, () => {
      const file = this.#recording();
      shares = file && energy_at(file, [hz, this.hz]);
      return shares && shares[0] > PURE && shares[1] < FAINT;
    }).catch((error) => assert.fail(`${error.message}; energy at ${hz} and ${this.hz} Hz: ${shares}`));
    return `${this.user} hears ${hz} Hz (${Math.round(shares[0] * 100)} % of the energy)`;
  }

  /// Every SIP message of its trace, parsed into {way, start, headers, body}.
  wire() {
    const trace = this.child.log().replace(/\x1b\[[0-9;]*m/g, '');
    const marks = [...trace.matchAll(/#\n(?:UDP|TCP|TLS) \S+:(\d+) -> \S+:(\d+)\n/g)];
    return marks.flatMap((mark, i) => {
      // From the server over our own connection, or over one that it opened to our Contact.
      const came = Number(mark[1]) === this.server.port[this.transport] || Number(mark[2]) === this.port;
      const text = trace.slice(mark.index + mark[0].length, marks[i + 1]?.index);
      const message = split(text);
      // Other lines of the log follow; the last message may not all be there yet.
      const size = Number(message.headers.get('content-length')?.[0] ?? 0);
      if (!text.includes('\r\n\r\n') || message.body.length < size) return [];
      return [{ way: came ? 'in' : 'out', ...message, body: message.body.slice(0, size) }];
    });
  }

  async stop() {
    this.#socket?.destroy();
    await this.child.stop();
  }
}
