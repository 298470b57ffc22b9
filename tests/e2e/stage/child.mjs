// A child process with its output in a log file. It never outlives the runner, and is only ever ended by its pid.
import { spawn } from 'node:child_process';
import fs from 'node:fs';

const living = new Set();
process.on('exit', () => {
  for (const child of living) child.signal('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export class Child {
  #process;
  #log;
  #group;
  exit = null;

  /// `group`: signals go to its whole process group (a shell and what it runs).
  constructor(command, args, { log, cwd, env, stdin = 'ignore', group = false }) {
    this.#group = group;
    this.#log = log;
    this.name = command.split('/').pop();
    const out = fs.openSync(log, 'a');
    this.#process = spawn(command, args, {
      cwd,
      detached: group,
      env: env ?? process.env,
      stdio: [stdin, stdin === 'pipe' ? 'pipe' : out, out],
    });
    fs.closeSync(out);
    living.add(this);
    this.ended = new Promise((resolve) => {
      const end = (code, signal) => {
        living.delete(this);
        this.exit = { code, signal };
        resolve(this.exit);
      };
      this.#process.once('exit', end);
      this.#process.once('error', (error) => {
        fs.appendFileSync(log, `${error}\n`);
        end(127, null);
      });
    });
  }

  get pid() {
    return this.#process.pid;
  }

  get stdin() {
    return this.#process.stdin;
  }

  get stdout() {
    return this.#process.stdout;
  }

  log() {
    return fs.readFileSync(this.#log, 'utf8');
  }

  /// The end of the log, for the message of a failure.
  tail(lines = 15) {
    return this.log().trimEnd().split('\n').slice(-lines).join('\n');
  }

  signal(signal) {
    if (this.exit) return;
    if (this.#group) process.kill(-this.pid, signal);
    else this.#process.kill(signal);
  }

  kill(signal = 'SIGKILL') {
    this.signal(signal);
    return this.ended;
  }

  /// Asks it to end, and makes it if it has not after `patience_ms`.
  async stop(patience_ms = 5_000) {
    if (this.exit) return this.exit;
    const force = setTimeout(() => this.signal('SIGKILL'), patience_ms);
    this.signal('SIGTERM');
    const exit = await this.ended;
    clearTimeout(force);
    return exit;
  }
}
