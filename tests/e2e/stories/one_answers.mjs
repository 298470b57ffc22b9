import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { of_kind } from '../stage/sip.mjs';

export const title = 'one address, two browsers and a phone: all ring, one answers, the others are told where';

export async function story(stage) {
  const server = await stage.server();
  const bus = server.bus_file && (await stage.bus(server));
  const at = (user) => ({ server, user, password: password(user) });
  const [sipjs, jssip, phone, phone_caller, browser_caller] = await Promise.all([
    stage.browser({ ...at('1001'), library: 'sipjs', hz: 700 }),
    stage.browser({ ...at('1001'), library: 'jssip', hz: 900 }),
    stage.baresip({ ...at('1001'), hz: 1100 }),
    stage.baresip({ ...at('1002'), hz: 500, transport: 'tcp' }),
    stage.browser({ ...at('1003'), library: 'sipjs', hz: 1300 }),
  ]);
  const all = [sipjs, jssip, phone];

  // Without a media bridge a phone's offer can be answered by a phone only, a browser's by a browser.
  await one_call(stage, server, bus, { caller: phone_caller, ringing: all, winner: phone });
  await one_call(stage, server, bus, { caller: browser_caller, ringing: [sipjs, jssip], winner: jssip });
  await one_call(stage, server, bus, { caller: browser_caller, ringing: [sipjs, jssip], winner: sipjs });
}

async function one_call(stage, server, bus, { caller, ringing, winner }) {
  const losers = ringing.filter((one) => one !== winner);
  const known = bus?.calls() ?? [];
  const before = new Map();
  for (const loser of losers) before.set(loser, (await loser.wire()).length);
  await caller.call(server.uri('1001'));
  await Promise.all(ringing.map((one) => one.reaches(stage, 'ringing')));
  await winner.answer();
  await Promise.all([winner.reaches(stage, 'answered'), caller.reaches(stage, 'answered')]);
  await Promise.all(losers.map((one) => one.reaches(stage, 'ended')));
  const heard = [await caller.hears(stage, winner.hz), await winner.hears(stage, caller.hz)];
  for (const loser of losers) {
    const cancels = of_kind((await loser.wire()).slice(before.get(loser)), 'in', 'CANCEL');
    assert.equal(cancels.length, 1, `one CANCEL to ${loser.user}`);
    assert.match(cancels[0].headers.get('reason')?.[0] ?? 'no Reason', /^SIP\s*;\s*cause=200\b/);
  }
  await caller.hangup();
  await Promise.all([winner.reaches(stage, 'ended'), caller.reaches(stage, 'ended')]);
  const kind = winner.library ?? 'baresip';
  stage.evidence(`${kind} of ${ringing.length} answers: ${heard.join(', ')}; the others get CANCEL with Reason SIP;cause=200`);
  if (!bus) return;
  const call = bus.calls().find((one) => !known.includes(one));
  await bus.sees(stage, call, 'call.ended');
  const elsewhere = bus.of_call(call).filter(({ data }) => data.cause.reason === 'answered_elsewhere');
  assert.ok(elsewhere.length >= losers.length, `answered_elsewhere on the bus: ${bus.story_of(call)}`);
  stage.evidence(`on the bus: ${bus.story_of(call)}`);
}
