import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';
import { Registrant } from '../stage/registrant.mjs';

export const title = 'kill -9 during 1,000 registrations: every one that got a 200 is there after the restart';

const USERS = Array.from({ length: 1000 }, (_, i) => `r${String(i).padStart(4, '0')}`);
const AT_ONCE = 64;
const KILL_AFTER = 500;

export async function story(stage) {
  const server = await stage.server({ users: USERS, bus: 'off' });
  const registrant = await stage.keep(Registrant.open(server, password));
  const acknowledged = new Set();
  const waiting = [...USERS];
  let killed;
  const work = async () => {
    for (let user = waiting.shift(); user && !killed; user = waiting.shift()) {
      // What is unanswered when the server dies may be there afterwards or not.
      if (await registrant.register(user).catch(() => false)) acknowledged.add(user);
      if (acknowledged.size >= KILL_AFTER) killed ??= server.kill().then(() => registrant.give_up());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  await killed;
  assert.ok(acknowledged.size >= KILL_AFTER && acknowledged.size < USERS.length, `killed in the middle, after ${acknowledged.size}`);

  await server.run();
  const lost = [];
  for (const user of acknowledged) {
    if (!(await registrant.bindings(user)).includes(registrant.contact(user))) lost.push(user);
  }
  assert.deepEqual(lost, [], 'acknowledged and lost');
  stage.evidence(`${acknowledged.size} of 1,000 had got a 200 when it died; all ${acknowledged.size} were there after the restart`);

  const rest = USERS.filter((user) => !acknowledged.has(user));
  const late = [];
  for (const user of rest) if (!(await registrant.register(user))) late.push(user);
  assert.deepEqual(late, [], 'refused after the restart');
  stage.evidence(`the other ${rest.length} registered then`);
}
