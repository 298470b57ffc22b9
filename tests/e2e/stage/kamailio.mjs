// Kamailio with the same face as the adapter: a registrar and proxy without bus or TLS. A story
// that fails with both has its fault in the harness.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Child } from './child.mjs';
import { DOMAIN } from './adapter.mjs';
import { here, root } from './paths.mjs';
import { ports } from './ports.mjs';

export class Kamailio {
  domain = DOMAIN;
  host = '127.0.0.1';

  static async start(folder, options) {
    const server = new Kamailio();
    const [udp, ws] = await ports(2);
    fs.mkdirSync(folder, { recursive: true });
    Object.assign(server, { folder, options, port: { udp, tcp: udp, ws } });
    await server.run();
    return server;
  }

  async run() {
    const { folder, options, port } = this;
    this.child = new Child('/usr/sbin/kamailio', [
      '-f', path.join(here, 'stage', 'kamailio.cfg'), '-DD', '-E', '-Y', folder, '-P', path.join(folder, 'pid'), '-m', '128',
      '-l', `udp:127.0.0.1:${port.udp}`, '-l', `tcp:127.0.0.1:${port.udp}`, '-l', `tcp:127.0.0.1:${port.ws}`,
      '-A', `DOMAIN="${this.domain}"`, '-A', `CTL="unix:${folder}/ctl"`, '-A', `RING_MS=${/ring_ms = (\d+)/.exec(options.limits ?? '')?.[1] ?? 120000}`,
    ], { log: path.join(folder, 'log') });
    for (;;) {
      if (this.child.exit) throw new Error(`kamailio ended:\n${this.child.tail()}`);
      const up = await fetch(`http://127.0.0.1:${port.ws}/`).then(() => true, () => false);
      if (up) return;
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }

  get wss() {
    return `ws://127.0.0.1:${this.port.ws}/ws`;
  }

  uri(user) {
    return `sip:${user}@${this.domain}`;
  }

  /// The product's phone page: from its files, since Kamailio does not have it.
  async phone_page() {
    this.web = http.createServer((request, response) => {
      const name = path.basename(request.url);
      response.setHeader('content-type', { '.js': 'text/javascript', '.css': 'text/css' }[path.extname(name)] ?? 'text/html');
      response.end(fs.readFileSync(path.join(root, 'adapter', 'web', name === 'phone' ? 'phone.html' : name)));
    });
    await new Promise((ready) => this.web.listen(0, '127.0.0.1', ready));
    return `http://127.0.0.1:${this.web.address().port}/phone`;
  }

  async stop() {
    this.web?.closeAllConnections();
    this.web?.close();
    await this.child.stop();
  }
}
