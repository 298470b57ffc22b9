import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { of_kind, same_bodies } from '../stage/sip.mjs';

export const title = 'two phones call each other over UDP and over TCP, hear each other, hold and hang up';

const PHONES = [['1001', 'udp', 600], ['1002', 'udp', 1000], ['1003', 'tcp', 800], ['1004', 'tcp', 1400]];
const CALLS = [[0, 1], [3, 2], [1, 2]];

export async function story(stage) {
  const server = await stage.server();
  const phones = await Promise.all(PHONES.map(([user, transport, hz]) => stage.baresip({
    server, user, transport, hz, password: password(user),
  })));
  for (const [a, b] of CALLS) {
    const [caller, callee] = [phones[a], phones[b]];
    const before = [caller.wire().length, callee.wire().length];
    await caller.call(server.uri(callee.user));
    await callee.reaches(stage, 'ringing');
    await callee.answer();
    await Promise.all([caller.reaches(stage, 'answered'), callee.reaches(stage, 'answered')]);
    const heard = [await caller.hears(stage, callee.hz), await callee.hears(stage, caller.hz)];
    const offers = () => of_kind(callee.wire().slice(before[1]), 'in', 'INVITE').map(({ body }) => /a=(send\w+)/.exec(body)[1]);
    await caller.hold(true);
    await stage.until('the hold arrives', () => offers().at(-1) === 'sendonly');
    await caller.hold(false);
    await stage.until('the resume arrives', () => offers().at(-1) === 'sendrecv');
    await callee.hears(stage, caller.hz);
    await caller.hears(stage, callee.hz);
    await callee.hangup();
    await Promise.all([caller.reaches(stage, 'ended'), callee.reaches(stage, 'ended')]);
    const [sent, received] = [caller.wire().slice(before[0]), callee.wire().slice(before[1])];
    const bodies = same_bodies(sent, received) + same_bodies(received, sent);
    assert.ok(bodies >= 6, 'three offers and three answers');
    stage.evidence(`${caller.transport} -> ${callee.transport}: ${heard.join(', ')}; ${bodies} SDP bodies, each byte for byte the same on both sides`);
  }
}
