import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { of_kind } from '../stage/sip.mjs';

export const title = 'phones register over TLS, judge the certificate, and call each other and one on UDP';

const PHONES = [['1001', 'tls', 600], ['1002', 'tls', 1000], ['1003', 'udp', 800]];
const CALLS = [[0, 1], [2, 0], [1, 2]];

export async function story(stage) {
  const server = await stage.server({ listen: ['udp', 'tls'], bus: 'off' });
  const phones = await Promise.all(PHONES.map(([user, transport, hz]) => stage.baresip({
    server, user, transport, hz, password: password(user),
  })));
  for (const [a, b] of CALLS) {
    const [caller, callee] = [phones[a], phones[b]];
    const before = callee.wire().length;
    await caller.call(server.uri(callee.user));
    await callee.reaches(stage, 'ringing');
    await callee.answer();
    await Promise.all([caller.reaches(stage, 'answered'), callee.reaches(stage, 'answered')]);
    const heard = [await caller.hears(stage, callee.hz), await callee.hears(stage, caller.hz)];
    const [invite] = of_kind(callee.wire().slice(before), 'in', 'INVITE');
    const word = callee.transport.toUpperCase();
    const [via] = invite.headers.get('via');
    const [contact] = invite.headers.get('contact');
    assert.ok(via.startsWith(`SIP/2.0/${word} 127.0.0.1:${server.port[callee.transport]};`), via);
    assert.equal(contact.includes(';transport=tls>'), callee.transport === 'tls', contact);
    await callee.hangup();
    await Promise.all([caller.reaches(stage, 'ended'), callee.reaches(stage, 'ended')]);
    stage.evidence(`${caller.transport} -> ${callee.transport}: ${heard.join(', ')}`);
  }
}
