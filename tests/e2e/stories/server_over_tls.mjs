import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { password } from '../stage/adapter.mjs';

export const title = 'a phone calls a server over TLS: not while its certificate is a stranger\'s, and once it is believed';

export async function story(stage) {
  const server = await stage.server({ listen: ['udp', 'tls'], bus: 'off' });
  // The server shows what the adapter has made for itself: it is for 127.0.0.1.
  const key = fs.readFileSync(path.join(path.dirname(server.certificate), 'key.pem'));
  const certificate = path.join(server.folder, 'peer.pem');
  fs.writeFileSync(certificate, Buffer.concat([fs.readFileSync(server.certificate), key]), { mode: 0o600 });
  const peer = await stage.baresip({ server, user: 'peer', certificate, hz: 1000 });
  const caller = await stage.baresip({ server, user: '1001', hz: 600, password: password('1001') });

  const route = `[[route]]\nto = "peer"\ntarget = "uri:sips:127.0.0.1:${peer.tls_port}"\n`;
  const taken = () => server.child.log().split('configuration read again').length - 1;
  server.reload(route);
  await stage.until('the route is taken', () => taken() === 1);
  await caller.call(server.uri('peer'));
  await caller.reaches(stage, 'ended');
  assert.match(caller.why(), /^502 /);
  // The log is written behind the calls.
  await stage.until('the log says why', () => server.child.log().includes('no TLS connection'));

  server.reload(`[tls]\nca = "${server.certificate}"\n`);
  await stage.until('the authority is taken', () => taken() === 2);
  await caller.call(server.uri('peer'));
  await peer.reaches(stage, 'ringing');
  await peer.answer();
  await Promise.all([caller.reaches(stage, 'answered'), peer.reaches(stage, 'answered')]);
  const heard = [await caller.hears(stage, 1000), await peer.hears(stage, 600)];
  await caller.hangup();
  await Promise.all([caller.reaches(stage, 'ended'), peer.reaches(stage, 'ended')]);
  stage.evidence(`refused 502 first; then udp -> tls: ${heard.join(', ')}`);
}
