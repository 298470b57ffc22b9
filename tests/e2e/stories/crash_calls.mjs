import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { told, whole } from '../stage/bus.mjs';

export const title = 'kill -9 during a call: after the restart both sides get a BYE and the call ends once, with the reason';

export async function story(stage) {
  const server = await stage.server();
  const [caller, callee] = await Promise.all([['1001', 600], ['1002', 1000]].map(([user, hz]) => stage.baresip({
    server, user, hz, password: password(user),
  })));
  const before = await stage.bus(server);
  await caller.call(server.uri('1002'));
  await callee.reaches(stage, 'ringing');
  await callee.answer();
  await Promise.all([caller.reaches(stage, 'answered'), callee.reaches(stage, 'answered')]);
  const call = await stage.until('the call on the bus', () => before.calls()[0]);
  await before.sees(stage, call, 'call.answered');

  await server.kill();
  await server.run();
  await Promise.all([caller.reaches(stage, 'ended'), callee.reaches(stage, 'ended')]);
  const after = await stage.bus(server);
  const events = await stage.until('the end of the call', async () => {
    const kept = await after.kept(`evt.call.${call}.>`);
    return kept.some(({ type }) => type === 'ifbus.sip.call.ended.v1') && kept;
  });
  const ended = whole(events);
  const recovered = events.find(({ type }) => type === 'ifbus.sip.call.recovered.v1');
  assert.ok(recovered?.data.after, 'call.recovered says after which event');
  const [last] = events.filter(({ epoch }) => epoch < recovered.epoch).slice(-1);
  assert.deepEqual(recovered.data.after, { epoch: last.epoch, seq: last.seq });
  assert.equal(ended.data.cause.actor, 'system');
  stage.evidence(`both phones were told to hang up; on the bus: ${told(events)}`);
}
