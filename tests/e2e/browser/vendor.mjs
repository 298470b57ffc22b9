// Makes adapter/web/sip.js: SIP.js as one file with its licence, from the pinned npm package. A story checks that the
// file is that one.
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { here, root } from '../stage/paths.mjs';

const FILE = path.join(root, 'adapter', 'web', 'sip.js');
const NAMES = 'Inviter, Registerer, RegistererState, SessionState, UserAgent, UserAgentState';

export async function made() {
  const from = path.join(here, 'node_modules', 'sip.js');
  const { version } = JSON.parse(fs.readFileSync(path.join(from, 'package.json'), 'utf8'));
  const licence = fs.readFileSync(path.join(from, 'LICENSE.md'), 'utf8').trim();
  const { outputFiles } = await build({
    stdin: { contents: `export { ${NAMES} } from 'sip.js';`, resolveDir: here },
    bundle: true, write: false, minify: true, format: 'esm', target: 'es2020', legalComments: 'inline', charset: 'utf8',
    banner: { js: `/*! SIP.js ${version}\n\n${licence}\n*/` },
  });
  return outputFiles[0].text;
}

export const is_made = async () => fs.readFileSync(FILE, 'utf8') === await made();

if (process.argv[1]?.endsWith('vendor.mjs')) {
  fs.writeFileSync(FILE, await made());
}
