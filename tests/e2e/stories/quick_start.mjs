// The README's first steps, run as they stand. A fenced block is run when its info string is `sh runnable` or
// `python runnable`, each in a shell of its own, as if typed into another terminal. Further words: `background` (it
// stays, until the story ends; the first one is the adapter, and the story goes on when it is ready), `phones` (two
// phones of the demo are registered and answer by themselves) and `hang-up` (one of them hangs up when they talk).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Child } from '../stage/child.mjs';
import { root, tool } from '../stage/paths.mjs';

export const title = 'the README\'s first steps, copied literally';
export const deadline_ms = 1_200_000;

const READY = 'http://127.0.0.1:8090/readyz';
const READY_MS = 900_000;
const STEP_MS = 600_000;
/// The adapter lets calls end by themselves for 30 s.
const STOP_MS = 90_000;
const DEMO = { host: '127.0.0.1', domain: 'example.test', port: { udp: 5060, tcp: 5060 } };

export async function story(stage) {
  const text = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
  const blocks = [...text.matchAll(/^```(sh|python) runnable *(.*)\n([\s\S]*?)^```$/gm)];
  const steps = blocks.map(([, language, words, script]) => ({ language, words: words.split(' '), script }));
  assert.ok(steps.some(({ script }) => script.includes('make run')), 'the README has a runnable block with `make run`');
  assert.ok(steps.some(({ language }) => language === 'python'), 'the README has a runnable agent in Python');
  assert.ok(!(await ready()), `nothing else answers at ${READY}`);

  let adapter;
  for (const { language, words, script } of steps) {
    const phones = words.includes('phones') ? await two_phones(stage, adapter) : [];
    const shell = open_terminal(stage, language, script);
    if (words.includes('background')) {
      stage.onClose(() => shell.stop(STOP_MS));
      if (adapter) continue;
      await becomes_ready(stage, shell);
      adapter = shell;
      await two_browsers(stage, /<(http:\S+\/phone)>/.exec(text)[1], adapter);
    } else {
      if (words.includes('hang-up')) hang_up_each_call(phones, shell);
      const { code } = await stage.within(STEP_MS, script, shell.ended);
      assert.equal(code, 0, `${script}\n${shell.tail(30)}`);
      stage.evidence(`${script.trim().split('\n').at(-1)} -> ${shell.tail(1)}`);
    }
    await Promise.all(phones.map((phone) => phone.stop()));
  }
}

/// A debug build, or the tests would wait for the optimised one; else nothing but what is written.
function open_terminal(stage, language, script) {
  const folder = stage.folder('terminal');
  fs.mkdirSync(folder, { recursive: true });
  let typed = script;
  if (language === 'python') {
    const file = path.join(folder, 'agent.py');
    // As the text below it says: the same id again dials nobody, and the state folder may be an old one.
    fs.writeFileSync(file, script.replace('my-first-call', `call-${Date.now()}`));
    typed = `${tool('python/bin/python')} ${file}`;
  }
  return new Child('bash', ['-euc', typed], { log: path.join(folder, 'log'), cwd: root, env: { ...process.env, PROFILE: 'dev' }, group: true });
}

async function becomes_ready(stage, shell) {
  await stage.until('the demo is ready', async () => {
    assert.equal(shell.exit, null, shell.tail());
    return ready();
  }, READY_MS);
  stage.evidence('make run -> ready');
}

/// The passwords are drawn at each start, and printed.
async function first_two_users(stage, adapter) {
  const printed = () => [...adapter.log().matchAll(/(\w+)@example\.test\s+password\s+(\S+)\n/g)].map(([, user, password]) => ({ user, password }));
  await stage.until('two users with passwords are printed', () => printed().length >= 2);
  return printed().slice(0, 2);
}

async function two_phones(stage, adapter) {
  const users = await first_two_users(stage, adapter);
  return Promise.all(users.map((account, i) => stage.baresip({ server: DEMO, ...account, hz: 600 + 400 * i, ring: 'answer' })));
}

async function two_browsers(stage, url, adapter) {
  const users = await first_two_users(stage, adapter);
  const [one, two] = await Promise.all(users.map((_, i) => stage.phone_page({ server: DEMO, url, hz: 700 + 400 * i })));
  await Promise.all([one, two].map((page, i) => page.register(users[i].user, users[i].password)));
  await Promise.all([one, two].map((page, i) => page.shows(`Registered as ${users[i].user}@example.test`)));
  await one.call('1002');
  await two.shows('Incoming call');
  await two.press('Answer');
  await Promise.all([one, two].map((page) => page.shows('In a call with')));
  const heard = [await one.hears(stage, two.hz), await two.hears(stage, one.hz)];
  await one.press('Hang up');
  await two.shows('Unregister');
  stage.evidence(`two browsers at ${url}: ${heard.join(', ')}`);
  await Promise.all([one, two].map((page) => page.stop()));
}

async function hang_up_each_call(phones, shell) {
  const all = (state) => phones.every((phone) => phone.state() === state);
  while (!shell.exit) {
    if (all('answered')) {
      await phones[1].hangup();
      while (!all('ended') && !shell.exit) await new Promise((wake) => setTimeout(wake, 20));
    }
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

const ready = () => fetch(READY).then((response) => response.ok, () => false);
