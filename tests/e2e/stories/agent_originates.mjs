import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { whole } from '../stage/bus.mjs';

export const title = 'a Python agent originates, watches and hangs up, with SIP.js, JsSIP and baresip; repeating changes nothing';

export async function story(stage) {
  const server = await stage.server();
  const bus = await stage.bus(server, { agent: 'desk' });
  const at = (user) => ({ server, user, password: password(user) });
  const [sipjs, jssip, udp, tcp, sipjs_too, jssip_too] = await Promise.all([
    stage.browser({ ...at('1001'), library: 'sipjs', hz: 700 }),
    stage.browser({ ...at('1002'), library: 'jssip', hz: 1100 }),
    stage.baresip({ ...at('1003'), transport: 'udp', hz: 600 }),
    stage.baresip({ ...at('1004'), transport: 'tcp', hz: 1000 }),
    stage.browser({ ...at('1005'), library: 'sipjs', hz: 900 }),
    stage.browser({ ...at('1007'), library: 'jssip', hz: 1300 }),
  ]);
  const parties = [[sipjs, jssip], [jssip, sipjs], [udp, tcp]];
  const alike = [[sipjs, sipjs_too], [jssip, jssip_too]];
  for (const [index, [from, to]] of [...parties, ...alike].entries()) await talk(stage, server, bus, from, to, `talk-${index}`);
  for (const [index, [from, to]] of parties.entries()) await declined(stage, server, bus, from, to, `declined-${index}`);
  for (const [index, [from, to]] of parties.entries()) await given_up(stage, server, bus, from, to, `given-up-${index}`);
  // Until media is bridged a browser and a phone cannot be joined: they are told, and nobody waits.
  const strangers = [[sipjs, udp], [jssip, tcp], [udp, sipjs], [tcp, jssip]];
  for (const [index, [from, to]] of strangers.entries()) await incompatible(stage, server, bus, from, to, `strangers-${index}`);
  await nobody_there(stage, server, bus, sipjs);
}

const kind = (party) => party.library ?? 'baresip';
const address = (server, party) => `${party.user}@${server.domain}`;

/// Originates, and has the first party answer.
async function begin(stage, server, bus, from, to, key) {
  const order = [address(server, from), address(server, to)];
  const made = await bus.originate(...order, {}, { id: key, idempotency_key: key });
  await from.reaches(stage, 'ringing');
  await from.answer();
  await to.reaches(stage, 'ringing');
  return { ...made, order };
}

/// Both parties out of the call, and its events as the contract says.
async function over(stage, bus, call, ...parties) {
  await Promise.all(parties.map((party) => party.reaches(stage, 'ended')));
  await bus.sees(stage, call, 'call.ended');
  return whole(bus.of_call(call));
}

async function talk(stage, server, bus, from, to, key) {
  const { call, session, order } = await begin(stage, server, bus, from, to, key);
  await to.answer();
  await Promise.all([from.reaches(stage, 'answered'), to.reaches(stage, 'answered')]);
  await bus.sees(stage, call, 'call.answered');
  const heard = [await from.hears(stage, to.hz), await to.hears(stage, from.hz)];

  const again = await bus.send('agent', 'originate', { from: order[0], to: order[1] }, { id: key, idempotency_key: key });
  assert.deepEqual(again, { status: 'accepted', id: key, repeated: true, data: { call, session } });
  const other = await bus.send('agent', 'originate', { from: order[1], to: order[0] }, { id: key, idempotency_key: key });
  assert.equal(other.code, 'idempotency_mismatch', JSON.stringify(other));
  const { calls } = await bus.ask('query', 'calls');
  assert.deepEqual(calls.map((one) => [one.call.call, one.call.state]), [[call, 'in_progress']]);

  const { position } = await bus.ask('query', 'call', { call });
  const stale = await bus.send(`call.${call}`, 'hangup', {}, { if_seq: position.seq - 1 });
  assert.equal(stale.code, 'precondition_failed', JSON.stringify(stale));
  const end = { id: `${key}-end`, idempotency_key: `${key}-end`, if_state: 'in_progress', if_seq: position.seq };
  await bus.hangup(call, {}, end);
  const ended = await over(stage, bus, call, from, to);
  assert.equal(ended.data.call.state, 'completed');
  const { actor, agent, command_id, reason } = ended.data.cause;
  assert.deepEqual({ actor, agent, command_id, reason }, { actor: 'agent', agent: 'desk', command_id: end.id, reason: 'normal_clearing' });

  const events = bus.of_call(call);
  const repeated = await bus.send(`call.${call}`, 'hangup', {}, end);
  assert.ok(repeated.status === 'accepted' && repeated.repeated, JSON.stringify(repeated));
  assert.deepEqual(bus.of_call(call), events, 'a repeated hangup is no event');
  const kept = await stage.until('JetStream has the end too', async () => {
    const so_far = await bus.kept(`evt.call.${call}.>`);
    return so_far.length >= events.length && so_far;
  });
  assert.deepEqual(kept, events, 'JetStream has kept what was heard');
  stage.evidence(`${kind(from)} and ${kind(to)}: ${heard.join(', ')}; ${bus.story_of(call)}`);
}

async function declined(stage, server, bus, from, to, key) {
  const { call } = await begin(stage, server, bus, from, to, key);
  await to.hangup();
  const ended = await over(stage, bus, call, from, to);
  assert.equal(ended.data.cause.actor, 'callee');
  assert.ok(['rejected', 'busy'].includes(ended.data.call.state), ended.data.call.state);
  stage.evidence(`${kind(from)}, ${kind(to)} declines: ${bus.story_of(call)}`);
}

async function given_up(stage, server, bus, from, to, key) {
  const { call } = await begin(stage, server, bus, from, to, key);
  await from.hangup();
  const ended = await over(stage, bus, call, from, to);
  assert.equal(ended.data.cause.actor, 'caller');
  assert.equal(ended.data.call.state, 'canceled');
  stage.evidence(`${kind(from)} hangs up while ${kind(to)} rings: ${bus.story_of(call)}`);
}

async function incompatible(stage, server, bus, from, to, key) {
  const { call } = await begin(stage, server, bus, from, to, key);
  await to.answer();
  const ended = await over(stage, bus, call, from, to);
  assert.equal(ended.data.call.state, 'failed');
  assert.deepEqual([ended.data.cause.reason, ended.data.cause.actor], ['incompatible_media', from.library ? 'caller' : 'callee']);
  stage.evidence(`${kind(from)} and ${kind(to)}: ${bus.story_of(call)}`);
}

async function nobody_there(stage, server, bus, from) {
  const reply = await bus.send('agent', 'originate', { from: address(server, from), to: `1006@${server.domain}` }, { id: 'absent' });
  if (reply.status === 'accepted') {
    await from.reaches(stage, 'ringing');
    await from.answer();
    const ended = await over(stage, bus, reply.data.call, from);
    assert.equal(ended.data.cause.reason, 'subscriber_absent');
    stage.evidence(`to one who is not registered: ${bus.story_of(reply.data.call)}`);
  } else {
    assert.equal(reply.code, 'not_registered', JSON.stringify(reply));
    stage.evidence(`to one who is not registered: ${reply.code}`);
  }
}
