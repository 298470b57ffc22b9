import { password } from '../stage/adapter.mjs';
import { told, whole } from '../stage/bus.mjs';

export const title = 'originate survives a second party that rings for 60 s, whoever the first party is';

const PATIENCE_MS = 60_000;

export async function story(stage) {
  const server = await stage.server();
  const bus = await stage.bus(server);
  const at = (user) => ({ server, user, password: password(user) });
  const pairs = await Promise.all([
    [stage.browser({ ...at('1001'), library: 'sipjs', hz: 700 }), stage.browser({ ...at('1002'), library: 'jssip', hz: 1100 })],
    [stage.browser({ ...at('1003'), library: 'jssip', hz: 800 }), stage.browser({ ...at('1004'), library: 'sipjs', hz: 1200 })],
    [stage.baresip({ ...at('1005'), transport: 'udp', hz: 600 }), stage.baresip({ ...at('1006'), transport: 'tcp', hz: 1000 })],
  ].map((pair) => Promise.all(pair)));

  await Promise.all(pairs.map(async ([from, to]) => {
    const { call } = await bus.originate(`${from.user}@${server.domain}`, `${to.user}@${server.domain}`);
    await from.reaches(stage, 'ringing');
    await from.answer();
    await to.reaches(stage, 'ringing');
    // The point of the story is that time passes.
    await new Promise((wake) => setTimeout(wake, PATIENCE_MS));
    await to.answer();
    await Promise.all([from.reaches(stage, 'answered'), to.reaches(stage, 'answered')]);
    const heard = [await from.hears(stage, to.hz), await to.hears(stage, from.hz)];
    await to.hangup();
    await Promise.all([from.reaches(stage, 'ended'), to.reaches(stage, 'ended')]);
    await bus.sees(stage, call, 'call.ended');
    whole(bus.of_call(call));
    stage.evidence(`${from.library ?? 'baresip'} waits for ${to.library ?? 'baresip'}: ${heard.join(', ')}; ${told(bus.of_call(call))}`);
  }));
}
