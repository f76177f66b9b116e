// The newest MCP Inspector on the command line, with its own OAuth and a client metadata document.
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import test from 'node:test';

import { node, surroundings } from './js/clients.mjs';
import { freePorts, required, run, scratch } from './js/processes.mjs';
import { demo } from './js/sekisho.mjs';

const modules = join(required('SEKISHO_E2E_MODULES'), 'node_modules');

/** Runs the Inspector with a home of its own and a browser that is our scripted person. */
async function inspect(t, place, args, home = scratch(t)) {
  const browser = join(home, 'browser');
  writeFileSync(browser, `#!/bin/sh\nunset NODE_OPTIONS\nexec "${node}" "${join(import.meta.dirname, 'js', 'person.mjs')}" "$1" --follow >>"${home}/browser.log" 2>&1\n`);
  chmodSync(browser, 0o755);
  const [callbackPort] = await freePorts(1);
  const env = {
    ...surroundings(place),
    PATH: `${join(modules, '.bin')}${delimiter}${process.env.PATH}`,
    HOME: home,
    BROWSER: browser,
    MCP_AUTO_OPEN_ENABLED: 'true',
    MCP_STORAGE_DIR: join(home, 'storage'),
    MCP_CATALOG_PATH: join(home, 'catalog.json'),
    MCP_CLIENT_CONFIG_PATH: join(home, 'client.json'),
    NODE_OPTIONS: `--import ${join(import.meta.dirname, 'js', 'hosts.mjs')}`,
  };
  const launcher = join(modules, 'inspector-newest', 'clients', 'launcher', 'build', 'index.js');
  const common = ['--cli', '--server-url', place.mcp_endpoint, '--transport', 'http', '--format', 'json', '--quiet'];
  const oauth = ['--client-metadata-url', place.client_metadata_document, '--callback-url', `http://127.0.0.1:${callbackPort}/oauth/callback`];
  return run(node, [launcher, ...common, ...oauth, ...args], { env, cwd: home, seconds: 90 });
}

test('the newest Inspector, with CIMD', async (t) => {
  const place = await demo(t, { tls: true });

  for (const era of ['legacy', 'modern']) {
    // AS-2, AS-22, CI-9: the callback's port is in no document.
    await t.test(`${era}: logs in, lists and calls`, async (t) => {
      const home = scratch(t);
      const listed = await inspect(t, place, ['--protocol-era', era, '--method', 'tools/list'], home);
      assert.equal(listed.code, 0, `${listed.stdout}\n${listed.stderr}`);
      const tools = JSON.parse(listed.stdout);
      const names = (tools.tools ?? tools.result?.tools).map((tool) => tool.name).sort();
      for (const tool of ['add_numbers', 'greet_user', 'multiply_numbers']) assert.ok(names.includes(`my-mcp-server___${tool}`), String(names));

      const call = ['--method', 'tools/call', '--tool-name', 'my-mcp-server___add_numbers', '--tool-args-json', '{"a":2,"b":3}'];
      const called = await inspect(t, place, ['--protocol-era', era, ...call], home);
      assert.equal(called.code, 0, `${called.stdout}\n${called.stderr}`);
      assert.match(called.stdout, /"text":\s*"5"/);
    });
  }

  // RS-6: without a login there is nothing, and the Inspector says so with its own exit code.
  await t.test('without a stored login it is told to authorize', async (t) => {
    const refused = await inspect(t, place, ['--protocol-era', 'modern', '--method', 'tools/list', '--stored-auth-only']);
    assert.equal(refused.code, 3, `${refused.stdout}\n${refused.stderr}`);
  });
});
