import assert from 'node:assert/strict';
import { is_made } from '../browser/vendor.mjs';
import { password } from '../stage/adapter.mjs';

export const title = 'the phone page: register, call, answer, hold, mute, digits, reject, and what it says when something fails';

export async function story(stage) {
  assert.ok(await is_made(), 'adapter/web/sip.js is what `make web` makes of the pinned package');
  const server = await stage.server();
  const url = await server.phone_page();
  const [ada, bob] = await Promise.all([
    stage.phone_page({ server, url, hz: 700, width: 360 }),
    stage.phone_page({ server, url, hz: 1100, dark: true }),
  ]);

  await ada.picture('1-account');
  await ada.register('1001', 'wrong');
  await ada.shows(/password is wrong/);
  await ada.picture('2-wrong-password');
  await Promise.all([ada.register('1001', password('1001')), bob.register('1002', password('1002'))]);
  await Promise.all([ada.shows('Registered as 1001@example.test'), bob.shows('Registered as 1002@example.test')]);
  await ada.picture('3-registered');
  stage.evidence('registers; a wrong password is named');

  await ada.call('1002');
  await bob.shows('Incoming call');
  await ada.shows('Ringing…');
  await bob.picture('1-incoming');
  await bob.press('Answer');
  await Promise.all([ada.shows('In a call with'), bob.shows('In a call with')]);
  const heard = [await ada.hears(stage, bob.hz), await bob.hears(stage, ada.hz)];
  await ada.press('Keypad');
  await ada.press('5');
  await ada.press('hash');
  await ada.picture('4-call');
  await bob.picture('2-call');
  await ada.press('Mute');
  await bob.hears_nothing(stage);
  await ada.press('Mute');
  await bob.hears(stage, ada.hz);
  await ada.press('Hold');
  await ada.shows(/on hold/);
  await bob.hears_nothing(stage);
  await ada.press('Hold');
  await bob.hears(stage, ada.hz);
  await ada.press('Hang up');
  await Promise.all([ada.shows('Call'), bob.shows('Call')]);
  stage.evidence(`calls: ${heard.join(' and ')}; mute, hold, digits, hang-up`);

  await bob.call('1001');
  await ada.shows('Incoming call');
  await ada.picture('5-incoming');
  await ada.press('Reject');
  await bob.shows('They declined. (603)');
  await bob.picture('3-declined');
  await ada.call('1004');
  await ada.shows('They are not reachable right now. (480)');
  await bob.call('1001');
  await ada.shows('Incoming call');
  await bob.press('Hang up');
  await ada.shows('Unregister');
  await ada.press('Unregister');
  await ada.shows('Not registered');
  stage.evidence('reject, unreachable, giving up and unregistering are told in words');
}
