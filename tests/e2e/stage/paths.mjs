// Where things are, whatever the working directory.
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const root = path.resolve(here, '../..');
export const tool = (name) => path.join(root, '.tools', name);
