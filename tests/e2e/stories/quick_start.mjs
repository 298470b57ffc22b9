// The README's first steps, run as they stand. A fenced block is run when its info string is `sh runnable`, each in a
// shell of its own, as if typed into another terminal. Further words: `background` (it stays, until the story ends;
// the first one is the adapter, and the story goes on when it is ready) and `phones` (two phones of the demo are
// registered and answer by themselves).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Child } from '../stage/child.mjs';
import { root } from '../stage/paths.mjs';

export const title = 'the README\'s first steps, copied literally';
export const deadline_ms = 1_200_000;

const READY = 'http://127.0.0.1:8090/readyz';
const READY_MS = 900_000;
const STEP_MS = 120_000;
/// The adapter lets calls end by themselves for 30 s.
const STOP_MS = 90_000;
const DEMO = { host: '127.0.0.1', domain: 'example.test', port: { udp: 5060, tcp: 5060 } };

export async function story(stage) {
  const text = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
  const steps = [...text.matchAll(/^```sh runnable *(.*)\n([\s\S]*?)^```$/gm)].map(([, words, script]) => ({ words: words.split(' '), script }));
  assert.ok(steps.some(({ script }) => script.includes('make run')), 'the README has a runnable block with `make run`');
  assert.ok(!(await ready()), `nothing else answers at ${READY}`);

  let adapter;
  for (const { words, script } of steps) {
    const phones = words.includes('phones') ? await two_phones(stage, adapter) : [];
    const shell = open_terminal(stage, script);
    if (words.includes('background')) {
      stage.onClose(() => shell.stop(STOP_MS));
      if (!adapter) await becomes_ready(stage, shell);
      adapter ??= shell;
    } else {
      const { code } = await stage.within(STEP_MS, script, shell.ended);
      assert.equal(code, 0, `${script}\n${shell.tail(30)}`);
      stage.evidence(`${script.trim()} -> ${shell.tail(1)}`);
    }
    await Promise.all(phones.map((phone) => phone.stop()));
  }
}

/// A debug build, or the tests would wait for the optimised one; else nothing but what is written.
function open_terminal(stage, script) {
  const folder = stage.folder('terminal');
  fs.mkdirSync(folder, { recursive: true });
  return new Child('bash', ['-euc', script], { log: path.join(folder, 'log'), cwd: root, env: { ...process.env, PROFILE: 'dev' }, group: true });
}

async function becomes_ready(stage, shell) {
  await stage.until('the demo is ready', async () => {
    assert.equal(shell.exit, null, shell.tail());
    return ready();
  }, READY_MS);
  stage.evidence('make run -> ready');
}

/// The passwords are drawn at each start, and printed.
function two_phones(stage, adapter) {
  const printed = [...adapter.log().matchAll(/(\w+)@example\.test\s+password\s+(\S+)/g)].slice(0, 2);
  assert.equal(printed.length, 2, 'two users with passwords are printed');
  return Promise.all(printed.map(([, user, password], i) => stage.baresip({
    server: DEMO, user, password, hz: 600 + 400 * i, ring: 'answer',
  })));
}

const ready = () => fetch(READY).then((response) => response.ok, () => false);
