// Runs the official clients as programs of their own, each with the CA and the host names of a test.
import { join } from 'node:path';

import { required, run } from './processes.mjs';

const here = import.meta.dirname;

/** The Node that `cargo xtask e2e` installed; this program runs on it. */
export const node = process.execPath;

/** Environment for a program that reaches `place` by name and trusts its CA. */
export function surroundings(place) {
  const env = {};
  if (place.domain) env.SEKISHO_E2E_DOMAIN = place.domain;
  if (place.ca_certificate) Object.assign(env, { NODE_EXTRA_CA_CERTS: place.ca_certificate, SSL_CERT_FILE: place.ca_certificate });
  return env;
}

const programs = {
  typescript: (task) => [node, ['--import', join(here, 'modules.mjs'), join(here, 'typescript-client.mjs'), task]],
  python: (task) => [required('SEKISHO_E2E_PYTHON_MCP2'), [join(here, '..', 'python', 'client.py'), task]],
};

/** What one of the official clients reports after it has done `task`. */
export async function report(language, place, task) {
  const told = JSON.stringify({ url: place.mcp_endpoint, node, person: join(here, 'person.mjs'), ...task });
  const [command, args] = programs[language](told);
  const { stdout, stderr, code } = await run(command, args, { env: surroundings(place), seconds: 120 });
  const line = stdout.trim().split('\n').at(-1);
  if (code !== 0 || !line?.startsWith('{')) throw new Error(`the ${language} client ended with ${code}:\n${stdout}\n${stderr}`);
  const report = JSON.parse(line);
  report.stderr = stderr;
  return report;
}

/** The claims of a JWT, without any check. */
export function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
}
