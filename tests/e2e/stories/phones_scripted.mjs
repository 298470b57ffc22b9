import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { port } from '../stage/ports.mjs';

export const title = 'sipp: registrations, basic calls, late offer, cancel, busy, no answer, hold, PRACK';

const RING_MS = 4_000;
const USERS = Array.from({ length: 200 }, (_, i) => `u${String(i).padStart(3, '0')}`);
// What the caller does, what the callee does, how often and how fast.
const NO_ANSWER = ['caller_no_answer', 'callee_canceled', 5, 5];
const CALLS = [
  ['caller', 'callee', 100, 50],
  ['caller_late_offer', 'callee', 20, 20],
  ['caller_cancels', 'callee_canceled', 20, 20],
  ['caller_busy', 'callee_busy', 20, 20],
  ['caller_holds', 'callee_held', 20, 20],
  ['caller_reliable', 'callee_reliable', 20, 20],
];

export async function story(stage) {
  const users = ['1001', '1002', ...USERS];
  const server = await stage.server({ users });
  // On a busy machine a call that is to be answered may need longer than this.
  const impatient = await stage.server({ limits: [`ring_ms = ${RING_MS}`] });
  for (const transport of ['u1', 't1']) {
    const registered = await stage.sipp({
      server, scenario: 'register', port: await port(), transport, calls: USERS.length, rate: 200, auth_uri: server.domain,
      keys: { contact: `127.0.0.1:${await port()}` }, rows: USERS.map((user) => credentials(user)),
    });
    stage.evidence(`${registered.calls} authenticated registrations over ${transport === 'u1' ? 'UDP' : 'TCP'}`);
  }
  await stage.sipp({
    server, scenario: 'register_refused', port: await port(), calls: 3, auth_uri: server.domain,
    keys: { contact: '127.0.0.1:9' }, rows: USERS.slice(0, 3).map((user) => credentials(user, 'wrong')),
  });
  stage.evidence('3 registrations with a wrong password refused');

  await call(stage, server, CALLS);
  await call(stage, impatient, [NO_ANSWER]);
}

/// 1002 registers, and 1001 calls it in each of these ways.
async function call(stage, server, ways) {
  const [from, to] = [await port(), await port()];
  await stage.sipp({
    server, scenario: 'register', port: await port(), auth_uri: server.domain, keys: { contact: `127.0.0.1:${to}` }, rows: [credentials('1002')],
  });
  for (const [scenario, counterpart, calls, rate] of ways) {
    const keys = { caller: '1001', callee: '1002' };
    const [called, took] = await Promise.all([
      stage.sipp({
        server, scenario, port: from, calls, rate, keys, pause_ms: 300,
        user: '1001', password: password('1001'), auth_uri: `1002@${server.domain}`,
      }),
      stage.sipp({ server, scenario: counterpart, port: to, calls, keys }),
    ]);
    assert.deepEqual([called.failed, took.failed], [0, 0]);
    stage.evidence(`${scenario} with ${counterpart}: ${called.calls} of ${calls}`);
  }
}

const credentials = (user, secret = password(user)) => [user, `[authentication username=${user} password=${secret}]`];
