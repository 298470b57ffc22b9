import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { port } from '../stage/ports.mjs';

const MINUTES = Number(process.env.SOAK_MINUTES ?? 10);
const ROUND_S = 30;
const CALLS_A_SECOND = 50;
const REGISTRATIONS_A_SECOND = 100;
const USERS = Array.from({ length: 500 }, (_, i) => `s${String(i).padStart(3, '0')}`);
const GROWTH = 1.1;

export const title = `${MINUTES} minutes of calls and registrations: none fails, and the heap does not grow`;
export const deadline_ms = (MINUTES + 5) * 60_000;

export async function story(stage) {
  const server = await stage.server({ users: ['1001', '1002', ...USERS] });
  const [from, to, registrar] = [await port(), await port(), await port()];
  const keys = { caller: '1001', callee: '1002' };
  const credentials = (user) => [user, `[authentication username=${user} password=${password(user)}]`];
  const register = (rows, calls, contact) => stage.sipp({
    server, scenario: 'register', port: registrar, calls, rate: REGISTRATIONS_A_SECOND, auth_uri: server.domain,
    keys: { contact: `127.0.0.1:${contact}` }, rows, limit_s: ROUND_S * 4,
  });
  await register([credentials('1002')], 1, to);

  const heap = [];
  let [calls, registrations] = [0, 0];
  const end = Date.now() + MINUTES * 60_000;
  // The first round warms it up; the heap is read when all calls of a round are over and forgotten.
  while (Date.now() < end || heap.length < 2) {
    const count = CALLS_A_SECOND * ROUND_S;
    const [called, took, registered] = await Promise.all([
      stage.sipp({
        server, scenario: 'caller', port: from, calls: count, rate: CALLS_A_SECOND, keys, pause_ms: 500, limit_s: ROUND_S * 4,
        user: '1001', password: password('1001'), auth_uri: `1002@${server.domain}`,
      }),
      stage.sipp({ server, scenario: 'callee', port: to, calls: count, keys, limit_s: ROUND_S * 4 }),
      register(USERS.map(credentials), REGISTRATIONS_A_SECOND * ROUND_S, 9),
    ]);
    assert.deepEqual([called.failed, took.failed, registered.failed], [0, 0, 0]);
    calls += called.calls;
    registrations += registered.calls;
    await stage.until('every call is forgotten', async () => (await server.metrics()).get('ifbus_calls') === 0, 60_000);
    heap.push((await server.metrics()).get('ifbus_heap_allocated_bytes'));
  }
  const [first, last] = [heap[1], heap.at(-1)];
  assert.ok(last < first * GROWTH, `the heap grew from ${first} to ${last} bytes: ${heap}`);
  stage.evidence(`${calls} calls and ${registrations} registrations; heap ${heap[0]} bytes after the first round, ${last} at the end`);
}
