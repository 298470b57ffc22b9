// One run of a sipp scenario of ours (sipp/NAME.xml).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Child } from './child.mjs';
import { here } from './paths.mjs';

/// Options: `server`, `scenario`, `port` (its own), `calls`, `rate` (a second), `keys` (name -> value in the
/// scenario), `user` and `password` (credentials), `auth_uri`, `rows` (of the CSV), `pause_ms` (a talk's length),
/// `transport` ("u1" UDP, "t1" TCP), `limit_s`. Resolves to {calls, failed, retransmissions} when all calls are done, and
/// fails if one of them did not go as the scenario says.
export async function sipp(folder, options, on_close) {
  const { server, scenario, port, calls = 1, rate = 10, keys = {}, transport = 'u1', limit_s = 180 } = options;
  fs.mkdirSync(folder, { recursive: true });
  const stat = path.join(folder, 'stat.csv');
  const remote = `${server.host}:${server.port[transport === 't1' ? 'tcp' : 'udp']}`;
  const args = [
    remote, '-sf', path.join(here, 'sipp', `${scenario}.xml`), '-i', '127.0.0.1', '-mi', '127.0.0.1', '-p', String(port),
    '-t', transport, '-m', String(calls), '-r', String(rate), '-nostdin', '-timeout', `${limit_s}s`, '-timeout_error',
    '-trace_stat', '-stf', stat, '-fd', '1', '-trace_err', '-error_file', path.join(folder, 'errors'),
    '-trace_logs', '-log_file', path.join(folder, 'logs'),
  ];
  if (process.env.KEEP || calls <= 20) args.push('-trace_msg', '-message_file', path.join(folder, 'messages'));
  for (const [name, value] of Object.entries({ domain: server.domain, ...keys })) args.push('-key', name, String(value));
  if (options.user) args.push('-au', options.user, '-ap', options.password);
  if (options.auth_uri) args.push('-auth_uri', options.auth_uri);
  if (options.pause_ms) args.push('-d', String(options.pause_ms));
  if (options.rows) {
    const file = path.join(folder, 'rows.csv');
    fs.writeFileSync(file, `SEQUENTIAL\n${options.rows.map((row) => row.join(';')).join('\n')}\n`);
    args.push('-inf', file);
  }
  const child = new Child('sipp', args, { log: path.join(folder, 'out'), cwd: folder });
  on_close(() => child.stop());
  const { code } = await child.ended;
  const errors = path.join(folder, 'errors');
  const said = fs.existsSync(errors) ? fs.readFileSync(errors, 'utf8').slice(0, 1500) : child.tail();
  assert.equal(code, 0, `sipp ${scenario}: exit ${code}\n${said}`);
  const counts = last_row(stat);
  return { calls: Number(counts['SuccessfulCall(C)']), failed: Number(counts['FailedCall(C)']), retransmissions: Number(counts['Retransmissions(C)']) };
}

function last_row(file) {
  const lines = fs.readFileSync(file, 'utf8').trimEnd().split('\n');
  const names = lines[0].split(';');
  const values = lines.at(-1).split(';');
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}
