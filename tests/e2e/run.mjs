// Runs the stories one after the other: `node run.mjs [--soak] [NAME...]`. A story is a file in stories/ that
// exports `title` and `story(stage)`; it passes when it returns. What it says with `stage.evidence(...)` is
// printed with the verdict. Its logs are kept in target/e2e/NAME when it fails (KEEP=1: always).
import fs from 'node:fs';
import path from 'node:path';
import { Stage } from './stage/stage.mjs';
import { here, root } from './stage/paths.mjs';

const STORY_DEADLINE_MS = Number(process.env.STORY_DEADLINE_MS ?? 600_000);

const args = process.argv.slice(2);
const folder = args.includes('--soak') ? 'soak' : 'stories';
const wanted = args.filter((arg) => !arg.startsWith('--'));
const all = fs.readdirSync(path.join(here, folder))
  .filter((file) => file.endsWith('.mjs'))
  .map((file) => path.basename(file, '.mjs'))
  .sort();
const unknown = wanted.filter((name) => !all.some((story) => story.includes(name)));
if (unknown.length) {
  console.error(`no story is called ${unknown.join(', ')}; there are: ${all.join(', ')}`);
  process.exit(2);
}
const chosen = wanted.length ? all.filter((story) => wanted.some((name) => story.includes(name))) : all;

let passed = 0;
let failed = 0;
for (const name of chosen) {
  const { title, story, deadline_ms = STORY_DEADLINE_MS } = await import(`./${folder}/${name}.mjs`);
  const logs = path.join(root, 'target', 'e2e', name);
  fs.rmSync(logs, { recursive: true, force: true });
  fs.mkdirSync(logs, { recursive: true });
  const stage = new Stage(logs);
  const began = Date.now();
  let problem;
  try {
    await stage.within(deadline_ms, `the story "${name}"`, story(stage));
  } catch (error) {
    problem = error;
  }
  try {
    await stage.close();
  } catch (error) {
    problem ??= error;
  }
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(`${problem ? 'FAIL' : 'PASS'} ${name} (${seconds} s): ${title}`);
  for (const line of stage.seen) console.log(`     ${line}`);
  if (problem) {
    failed += 1;
    console.log(`     ${String(problem.stack ?? problem).replaceAll('\n', '\n     ')}`);
    console.log(`     logs: ${path.relative(root, logs)}`);
  } else {
    passed += 1;
    if (!process.env.KEEP) fs.rmSync(logs, { recursive: true, force: true });
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
