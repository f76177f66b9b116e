// Starts the program under test: the demonstration, or a configuration.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterwards, freePorts, Program, required, scratch } from './processes.mjs';

let started = 0;

/** `sekisho demo`: gives what its ready file tells, and the domain of its host names if it has any. */
export async function demo(t, { tls = false } = {}) {
  const folder = scratch(t);
  const [port, mcpPort] = await freePorts(2);
  const args = ['demo', '--listen', `127.0.0.1:${port}`, '--ready-file', join(folder, 'ready.json')];
  // Kept in a folder of its own, so that the local CA of the person who runs the tests stays theirs.
  if (tls) args.push('--tls', '--data', join(folder, 'data'));
  else args.push('--mcp-listen', `127.0.0.1:${mcpPort}`);
  const program = await start(t, args, folder);
  return { ...program.ready, program: program.program, port, domain: tls ? 'sekisho.localhost' : undefined };
}

/** `sekisho serve` with a configuration as an object; JSON is YAML. */
export async function serve(t, configuration, folder = scratch(t)) {
  writeFileSync(join(folder, 'sekisho.yaml'), JSON.stringify({ data_directory: join(folder, 'data'), ...configuration }, null, 2));
  return start(t, ['serve', '--config', join(folder, 'sekisho.yaml'), '--ready-file', join(folder, 'ready.json')], folder);
}

async function start(t, args, folder) {
  started += 1;
  const ready = join(folder, 'ready.json');
  const program = new Program(`sekisho-${process.pid}-${started}`, required('SEKISHO_BIN'), args, { cwd: folder });
  afterwards(t, () => program.stop());
  const text = await program.until('ready file', async () => existsSync(ready) && readFileSync(ready, 'utf8'), 30);
  return { program, ready: JSON.parse(text), folder };
}

/** The certificate of the local CA that a configuration in `folder` made. */
export function localCa(folder) {
  return join(folder, 'data', 'local-ca.pem');
}
