import { password } from '../stage/adapter.mjs';
import { same_bodies } from '../stage/sip.mjs';

export const title = 'two browsers call each other over WSS, hear each other, hold and hang up';

const PAIRS = [['sipjs', 'sipjs'], ['sipjs', 'jssip'], ['jssip', 'sipjs']];
const TONES = [700, 1100];

export async function story(stage) {
  const server = await stage.server();
  for (const [caller_library, callee_library] of PAIRS) {
    const [caller, callee] = await Promise.all([caller_library, callee_library].map((library, i) => stage.browser({
      server, library, user: ['1001', '1002'][i], password: password(['1001', '1002'][i]), hz: TONES[i],
    })));
    await call(stage, server, caller, callee, 'caller');
    await call(stage, server, callee, caller, 'callee');
    await Promise.all([caller.stop(), callee.stop()]);
  }
}

/// One whole call: ring, answer, audio, hold and resume by each side, hang-up by `who_ends`.
async function call(stage, server, caller, callee, who_ends) {
  const before = [(await caller.wire()).length, (await callee.wire()).length];
  await caller.call(server.uri(callee.user));
  await callee.reaches(stage, 'ringing');
  await caller.reaches(stage, 'ringing');
  await callee.answer();
  await Promise.all([caller.reaches(stage, 'answered'), callee.reaches(stage, 'answered')]);
  const heard = [await caller.hears(stage, callee.hz), await callee.hears(stage, caller.hz)];

  for (const [holder, held] of [[caller, callee], [callee, caller]]) {
    await holder.hold(true);
    // The holder offers sendonly: it is the held side that falls silent.
    await holder.hears_nothing(stage);
    await holder.hold(false);
    await held.hears(stage, holder.hz);
    await holder.hears(stage, held.hz);
  }

  await (who_ends === 'caller' ? caller : callee).hangup();
  await Promise.all([caller.reaches(stage, 'ended'), callee.reaches(stage, 'ended')]);

  const [sent, received] = [(await caller.wire()).slice(before[0]), (await callee.wire()).slice(before[1])];
  const bodies = same_bodies(sent, received) + same_bodies(received, sent);
  stage.evidence(`${caller.library} -> ${callee.library}, ended by the ${who_ends}: ${heard.join(', ')}; `
    + `${bodies} SDP bodies, each byte for byte the same on both sides`);
}
