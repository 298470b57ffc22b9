import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { password } from '../stage/adapter.mjs';
import { Child } from '../stage/child.mjs';
import { root, tool } from '../stage/paths.mjs';

export const title = 'the examples a user copies originate a call and tell its events to the end';
export const deadline_ms = 900_000;

/// The Rust one may have to be built first.
const ANSWERED_MS = 600_000;

const EXAMPLES = [
  ['Python', tool('python/bin/python'), ['examples/agents/python/originate.py']],
  ['Rust', 'cargo', ['run', '--quiet', '--package', 'agents', '--bin', 'originate', '--']],
];

export async function story(stage) {
  const server = await stage.server();
  const parties = await Promise.all([['1001', 600], ['1002', 1000]].map(([user, hz]) => stage.baresip({
    server, user, hz, password: password(user), ring: 'answer',
  })));
  for (const [language, program, args] of EXAMPLES) {
    const folder = stage.folder('example');
    fs.mkdirSync(folder, { recursive: true });
    const example = await stage.keep(new Child(program, [...args, '1001@example.test', '1002@example.test'], {
      log: path.join(folder, 'log'), cwd: root, env: { ...process.env, IFBUS_BUS: server.bus_file },
    }));
    await stage.until(`the ${language} example tells that the call is answered`, () => {
      assert.equal(example.exit, null, example.log());
      return example.log().includes('call.answered: in_progress');
    }, ANSWERED_MS);
    await parties[0].hears(stage, parties[1].hz);
    await parties[1].hangup();
    assert.deepEqual(await example.ended, { code: 0, signal: null }, example.log());
    assert.match(example.log().trimEnd().split('\n').at(-1), /call\.ended: completed \(callee: normal_clearing\)$/);
    stage.evidence(`${language}: ${example.log().trimEnd().split('\n').length - 1} events told`);
  }
}
