// Registers many users from one UDP socket, and knows of each what the server said.
import crypto from 'node:crypto';
import dgram from 'node:dgram';
import { PATIENCE_MS } from './patience.mjs';
import { split } from './sip.mjs';

const AGAIN_MS = 500;

const md5 = (text) => crypto.createHash('md5').update(text).digest('hex');
const parameter = (header, name) => new RegExp(`\\b${name}="?([^",]+)"?`).exec(header)?.[1];

export class Registrant {
  #waiting = new Map();
  #count = 0;

  static async open(server, password) {
    const registrant = new Registrant();
    Object.assign(registrant, { server, password, socket: dgram.createSocket('udp4') });
    registrant.socket.on('error', () => {});
    registrant.socket.on('message', (data) => {
      const message = split(data.toString());
      registrant.#waiting.get(`${message.headers.get('call-id')[0]} ${message.headers.get('cseq')[0]}`)?.hear(message);
    });
    await new Promise((ready) => registrant.socket.bind(0, '127.0.0.1', ready));
    return registrant;
  }

  get port() {
    return this.socket.address().port;
  }

  contact(user) {
    return `sip:${user}@127.0.0.1:${this.port}`;
  }

  /// Binds the user's contact; true when the server has said 200.
  async register(user) {
    return (await this.#challenged(user, [`Contact: <${this.contact(user)}>`, 'Expires: 3600'])).start.startsWith('SIP/2.0 200');
  }

  /// The contacts the server has for the user.
  async bindings(user) {
    const answer = await this.#challenged(user, []);
    return (answer.headers.get('contact') ?? []).flatMap((line) => [...line.matchAll(/<([^>]+)>/g)].map(([, uri]) => uri));
  }

  async #challenged(user, lines) {
    const call_id = `${++this.#count}-${this.port}@127.0.0.1`;
    const first = await this.#ask(user, call_id, 1, lines);
    const challenge = first.headers.get('www-authenticate')?.find((header) => !/algorithm="?SHA/i.test(header));
    if (!challenge) return first;
    return this.#ask(user, call_id, 2, [...lines, `Authorization: ${this.#credentials(user, challenge)}`]);
  }

  #credentials(user, challenge) {
    const [realm, nonce, qop, opaque] = ['realm', 'nonce', 'qop', 'opaque'].map((name) => parameter(challenge, name));
    const uri = `sip:${this.server.domain}`;
    const [ha1, ha2] = [md5(`${user}:${realm}:${this.password(user)}`), md5(`REGISTER:${uri}`)];
    const [nc, cnonce] = ['00000001', 'c0ffee'];
    const response = qop ? md5(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${ha2}`) : md5(`${ha1}:${nonce}:${ha2}`);
    return `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", algorithm=MD5`
      + (qop ? `, qop=auth, nc=${nc}, cnonce="${cnonce}"` : '') + (opaque ? `, opaque="${opaque}"` : '');
  }

  /// Sends the REGISTER, again and again over UDP, until a final response comes.
  #ask(user, call_id, cseq, lines) {
    const text = [
      `REGISTER sip:${this.server.domain} SIP/2.0`,
      `Via: SIP/2.0/UDP 127.0.0.1:${this.port};branch=z9hG4bK${call_id.replace('@', '.')}.${cseq};rport`,
      `From: <${this.server.uri(user)}>;tag=t${call_id.split('-')[0]}`,
      `To: <${this.server.uri(user)}>`,
      `Call-ID: ${call_id}`,
      `CSeq: ${cseq} REGISTER`,
      'Max-Forwards: 70',
      ...lines,
      'Content-Length: 0',
    ].join('\r\n');
    const key = `${call_id} ${cseq} REGISTER`;
    const send = () => this.socket.send(`${text}\r\n\r\n`, this.server.port.udp, '127.0.0.1');
    return new Promise((resolve, reject) => {
      const again = setInterval(send, AGAIN_MS);
      const end = (settle, value) => {
        clearInterval(again);
        clearTimeout(late);
        this.#waiting.delete(key);
        settle(value);
      };
      const fail = () => end(reject, new Error(`no answer to REGISTER of ${user}`));
      const late = setTimeout(fail, PATIENCE_MS);
      const hear = (message) => {
        if (!message.start.startsWith('SIP/2.0 1')) end(resolve, message);
      };
      this.#waiting.set(key, { hear, fail });
      send();
    });
  }

  /// Nobody will answer what is not answered yet.
  give_up() {
    for (const { fail } of [...this.#waiting.values()]) fail();
  }

  stop() {
    this.socket.close();
  }
}
