// Runs the official conformance suite, and says which scenarios passed.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { artefacts, required, run } from './processes.mjs';

const bin = join(required('SEKISHO_E2E_MODULES'), 'node_modules/.bin');

/** The checks of one scenario, as the suite leaves them. */
function failures(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  const checks = files.flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  return checks.filter(({ status }) => status === 'FAILURE');
}

/**
 * Runs `conformance` with these arguments. Gives its exit code, and by scenario what failed; a scenario that left nothing failed.
 * The folder of a scenario is called `server-NAME-TIME`.
 */
export async function suite(name, args, { env = {} } = {}) {
  const folder = join(artefacts, name);
  rmSync(folder, { recursive: true, force: true });
  const how = await run(join(bin, 'conformance'), [...args, '-o', folder], { seconds: 280, env: { PATH: `${bin}:${process.env.PATH}`, ...env } });
  const scenarios = new Map();
  for (const one of walk(folder)) {
    const scenario = one.slice(folder.length + 1).replace(/^(server|client)-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
    scenarios.set(scenario, failures(one));
  }
  return { code: how.code, printed: how.stdout + how.stderr, scenarios };
}

/** The folders that have files. */
function* walk(folder) {
  const entries = readdirSync(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.isFile() && entry.name.endsWith('.json'))) yield folder;
  for (const entry of entries.filter((one) => one.isDirectory())) yield* walk(join(folder, entry.name));
}

/** The names of those that passed, and of those that did not. */
export function outcome({ scenarios }) {
  const names = [...scenarios.keys()].sort();
  return { passed: names.filter((name) => scenarios.get(name).length === 0), failed: names.filter((name) => scenarios.get(name).length > 0) };
}

/** The scenarios that a revision of the specification requires of servers or of clients. */
export function requiredOf(side, revision) {
  const file = join(required('SEKISHO_E2E_MODULES'), 'node_modules/@modelcontextprotocol/conformance/requirements', `${revision}.yaml`);
  const [, list] = readFileSync(file, 'utf8').split(`\n${side}:\n`);
  return list.split('\n\n')[0].split('\n').map((line) => line.match(/^ {2}- (\S+)$/)?.[1]).filter(Boolean);
}
