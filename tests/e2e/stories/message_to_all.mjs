import assert from 'node:assert/strict';
import { password } from '../stage/adapter.mjs';

export const title = 'a MESSAGE goes to every binding of its address, and its sender hears of it once';

const TEXT = 'guest.room.42 is here: é ✓';

export async function story(stage) {
  const server = await stage.server();
  const at = (user, library) => stage.browser({ server, user, password: password(user), library, hz: 700 });
  const [one, two, from_sipjs, from_jssip] = await Promise.all([
    at('1001', 'sipjs'), at('1001', 'jssip'), at('1002', 'sipjs'), at('1003', 'jssip'),
  ]);
  for (const [sent, sender] of [from_sipjs, from_jssip].entries()) {
    await sender.message(server.uri('1001'), TEXT);
    for (const receiver of [one, two]) {
      await stage.until(`${receiver.library} has it`, async () => (await receiver.messages()).length > sent);
      assert.deepEqual((await receiver.messages())[sent], TEXT);
    }
  }
  const refused = await from_sipjs.message(server.uri('1004'), TEXT).then(() => 'accepted', (error) => error.message);
  assert.match(refused, /MESSAGE: 480/);
  stage.evidence('SIP.js and JsSIP each send one; both bindings get both; to nobody: 480');
  if (!server.bus_file) return;
  const bus = await stage.bus(server);
  await bus.ask('agent', 'message', { from: `1002@${server.domain}`, to: `1001@${server.domain}`, body: TEXT });
  for (const receiver of [one, two]) await stage.until('the agent\'s message', async () => (await receiver.messages()).length === 3);
  stage.evidence('so does one that an agent sends');
}
