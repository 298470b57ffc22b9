import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { whole } from '../stage/bus.mjs';
import { port } from '../stage/ports.mjs';
import { children } from '../stage/processes.mjs';

export const title = 'kill -9 of nats-server during calls: no call fails, no event is lost or out of order, the gap is declared';

const CALLS = 300;
const RATE = 20;
const TALK_MS = 1_500;
const KILLS = 2;

export async function story(stage) {
  const server = await stage.server();
  const [from, to] = [await port(), await port()];
  const keys = { caller: '1001', callee: '1002' };
  await stage.sipp({
    server, scenario: 'register', port: await port(), auth_uri: server.domain, keys: { contact: `127.0.0.1:${to}` },
    rows: [['1002', `[authentication username=1002 password=${password('1002')}]`]],
  });
  const bus = await stage.bus(server);
  const runs = Promise.all([
    stage.sipp({ server, scenario: 'callee', port: to, calls: CALLS, keys }),
    stage.sipp({
      server, scenario: 'caller', port: from, calls: CALLS, rate: RATE, keys, pause_ms: TALK_MS,
      user: '1001', password: password('1001'), auth_uri: `1002@${server.domain}`,
    }),
  ]);
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const before = bus.calls().length;
    await stage.until('calls are under way', () => bus.calls().length > before + 20);
    const [broker] = children(server.pid, 'nats-server');
    assert.ok(broker, 'a nats-server of the adapter');
    process.kill(broker, 'SIGKILL');
    await stage.until('another nats-server', () => children(server.pid, 'nats-server').some((pid) => pid !== broker));
  }
  const [took, called] = await runs;
  assert.deepEqual([called.calls, called.failed, took.failed], [CALLS, 0, 0]);
  stage.evidence(`${called.calls} of ${CALLS} calls went well, ${KILLS} times nats-server was killed meanwhile`);

  const kept = await stage.until('all the terminal events', async () => {
    const events = await bus.kept('evt.>').catch(() => []);
    return events.filter(({ type }) => type === 'ifbus.sip.call.ended.v1').length >= CALLS && events;
  });
  const calls = by_call(kept);
  assert.equal(calls.size, CALLS);
  for (const events of calls.values()) {
    const ended = whole(events);
    assert.equal(ended.data.call.state, 'completed');
  }
  assert.equal(new Set(kept.map(({ id }) => id)).size, kept.length, 'no event twice');
  const gaps = kept.filter(({ type }) => type === 'ifbus.sip.bus.gap.v1').map(({ data }) => data.gap);
  assert.ok(gaps.length >= 1, 'a bus.gap');
  assert.deepEqual(gaps.map(({ dropped }) => dropped), gaps.map(() => 0));
  const late = gaps.map(({ since, until, delayed }) => `${new Date(until) - new Date(since)} ms, ${delayed} events late`);
  stage.evidence(`${kept.length} events kept, each call's contiguous with one end; gaps declared: ${late.join('; ')}`);
}

function by_call(events) {
  const calls = new Map();
  for (const event of events) if (event.call) calls.set(event.call, [...(calls.get(event.call) ?? []), event]);
  return calls;
}
