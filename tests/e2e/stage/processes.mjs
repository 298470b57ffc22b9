// Processes that are not ours but a child's.
import fs from 'node:fs';

/// The process ids of the children of `pid` that run the program `name`.
export function children(pid, name) {
  return fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number).filter((id) => {
    try {
      const stat = fs.readFileSync(`/proc/${id}/stat`, 'utf8');
      const [, program, parent] = /^\d+ \((.*)\) \S (\d+)/.exec(stat);
      return program === name && Number(parent) === pid;
    } catch {
      return false;
    }
  });
}
