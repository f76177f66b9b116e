// Runs the official conformance suite, and says which scenarios passed.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { node } from './clients.mjs';
import { artefacts, required, run } from './processes.mjs';

const modules = join(required('SEKISHO_E2E_MODULES'), 'node_modules');

/** The newest release, and the one that npm gives to who asks for none. */
const RELEASES = { newest: '@modelcontextprotocol/conformance', 0.1: 'conformance-0.1' };

/** How bad a check can end; whatever else it says is good. */
const BAD = ['WARNING', 'FAILURE'];
const badness = (status) => BAD.indexOf(status);

/** The checks of one scenario, as the suite leaves them: the worst status of each by its id. */
function checks(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  const worst = new Map();
  for (const { id, status } of files.flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))) {
    if (!worst.has(id) || badness(status) > badness(worst.get(id))) worst.set(id, status);
  }
  return worst;
}

/**
 * Runs a release of `conformance` with these arguments. Gives its exit code, and by scenario its checks. The folder of a scenario is
 * called `server-NAME-TIME`.
 */
export async function suite(name, args, { release = 'newest' } = {}) {
  const folder = join(artefacts, name);
  rmSync(folder, { recursive: true, force: true });
  const how = await run(node, [join(modules, RELEASES[release], 'dist/index.js'), ...args, '-o', folder], { seconds: 280 });
  const scenarios = new Map();
  for (const one of walk(folder)) {
    const scenario = one.slice(folder.length + 1).replace(/^(server|client)-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
    scenarios.set(scenario, checks(one));
  }
  return { code: how.code, printed: how.stdout + how.stderr, scenarios };
}

/** The folders that have files. */
function* walk(folder) {
  const entries = readdirSync(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.isFile() && entry.name.endsWith('.json'))) yield folder;
  for (const entry of entries.filter((one) => one.isDirectory())) yield* walk(join(folder, entry.name));
}

const has = (checks, status) => [...(checks?.values() ?? [])].includes(status);

/** The names of the scenarios of which nothing failed. */
export function passed({ scenarios }) {
  return [...scenarios.keys()].filter((name) => !has(scenarios.get(name), 'FAILURE')).sort();
}

/** The names of those of which everything was good, and that was not only because all was skipped or noted. */
export function shown({ scenarios }) {
  const isGood = (checks) => has(checks, 'SUCCESS') && !BAD.some((status) => has(checks, status));
  return [...scenarios.keys()].filter((name) => isGood(scenarios.get(name))).sort();
}

/**
 * What passed in one run and is worse in another: a check with a failure or a warning that was none, or a scenario that shows nothing;
 * those that are `quiet` need not.
 */
export function lost(run, other, quiet = []) {
  const loud = shown(run).filter((name) => !quiet.includes(name));
  return passed(run).flatMap((name) => {
    const [before, after] = [run.scenarios.get(name), other.scenarios.get(name)];
    const worse = [...(after ?? [])].filter(([id, status]) => badness(status) > badness(before.get(id)));
    if (worse.length > 0) return worse.map(([id, status]) => `${name}: ${id} ${status}`);
    return loud.includes(name) && !has(after, 'SUCCESS') ? [`${name}: nothing shown`] : [];
  });
}

/** The scenarios that a revision of the specification requires of servers or of clients. */
export function requiredOf(side, revision) {
  const file = join(modules, RELEASES.newest, 'requirements', `${revision}.yaml`);
  const [, list] = readFileSync(file, 'utf8').split(`\n${side}:\n`);
  return list.split('\n\n')[0].split('\n').map((line) => line.match(/^ {2}- (\S+)$/)?.[1]).filter(Boolean);
}
