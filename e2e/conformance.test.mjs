// The official server suite, directly against servers on the official SDKs and through the gateway: both revisions, and servers of
// both eras, of the session era only, and of the stateless era only.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { outcome, requiredOf, suite } from './js/conformance.mjs';
import { accepts, afterwards, freePorts, Program, required } from './js/processes.mjs';
import { serve } from './js/sekisho.mjs';

const REVISIONS = ['2025-11-25', '2026-07-28'];
const SPOKEN = { both: REVISIONS, session: ['2025-11-25'], stateless: ['2026-07-28'] };

/** What one era has no words for; docs/CONFORMANCE.md says why. */
const UNTRANSLATABLE = {
  'session 2026-07-28': ['input-required-result-basic-elicitation', 'server-stateless'],
  'stateless 2025-11-25': [],
};

const SERVERS = {
  rmcp: (port, eras) => [required('SEKISHO_E2E_RMCP'), [`${port}`, eras]],
  typescript: (port, eras) => [process.execPath, ['--import', './js/modules.mjs', 'js/conformance-server.mjs', `${port}`, eras]],
};

/** A server with everything, and a gateway before it that anybody on this machine may call. */
async function behindGateway(t, server, eras) {
  const [upstream, port, management] = await freePorts(3);
  const [command, args] = SERVERS[server](upstream, eras);
  const program = new Program(`${server}-${eras}`, command, args, { cwd: import.meta.dirname });
  afterwards(t, () => program.stop());
  await program.until('port', () => accepts(upstream));
  const url = `http://127.0.0.1:${upstream}/mcp`;
  await serve(t, {
    listeners: [{ name: 'main', address: `127.0.0.1:${port}` }],
    management: { address: `127.0.0.1:${management}` },
    egress: { allow_networks: ['127.0.0.0/8'] },
    gateways: [{
      name: 'conformance', url: `http://localhost:${port}/mcp`, danger_no_authorization: true, tool_names: 'bare', targets: [{ name: server, mcp: { url } }],
    }],
  });
  return { direct: url, through: `http://localhost:${port}/mcp` };
}

const of = (url, revision) => ['server', '--url', url, '--requirements', revision];

for (const server of Object.keys(SERVERS)) {
  for (const [eras, spoken] of Object.entries(SPOKEN)) {
    test(`${server}, ${eras}: the suite through the gateway`, async (t) => {
      const { direct, through } = await behindGateway(t, server, eras);
      const passedDirectly = {};
      for (const revision of spoken) {
        const run = await suite(`${server}-${eras}-${revision}-direct`, of(direct, revision));
        passedDirectly[revision] = outcome(run).passed;
        const missing = requiredOf('server', revision).filter((name) => !passedDirectly[revision].includes(name));
        assert.deepEqual(missing, [], `the fixture itself passes what ${revision} requires`);
      }
      for (const revision of REVISIONS) {
        const run = await suite(`${server}-${eras}-${revision}-gateway`, of(through, revision));
        const { passed } = outcome(run);
        const wanted = requiredOf('server', revision);
        const expected = spoken.includes(revision) ? new Set([...wanted, ...passedDirectly[revision]]) : new Set(wanted);
        const failed = [...expected].filter((name) => !passed.includes(name)).sort();
        t.diagnostic(`${revision}: ${wanted.filter((name) => passed.includes(name)).length} of ${wanted.length} required`);
        assert.deepEqual(failed, UNTRANSLATABLE[`${eras} ${revision}`] ?? [], run.printed.slice(-3000));
      }
    });
  }
}

/** What the client suite asks of the side that faces a target; its other scenarios are about authorization. */
const CLIENT = {
  '2025-11-25': ['initialize', 'tools_call', 'sse-retry', 'elicitation-sep1034-client-defaults', 'json-schema-2020-12-preservation'],
  '2026-07-28': [
    'tools_call', 'request-metadata', 'sep-2322-client-request-state', 'http-standard-headers', 'http-custom-headers', 'http-invalid-tool-headers',
    'json-schema-ref-no-deref', 'json-schema-2020-12-preservation',
  ],
};

for (const [revision, scenarios] of Object.entries(CLIENT)) {
  test(`the client suite with the gateway as the client, ${revision}`, async () => {
    const here = import.meta.dirname;
    const command = `${process.execPath} --import ${here}/js/modules.mjs ${here}/js/conformance-client.mjs`;
    for (const scenario of scenarios) {
      const args = ['client', '--command', command, '--scenario', scenario, '--spec-version', revision];
      const { code, printed, scenarios: ran } = await suite(`client-${revision}-${scenario}`, args);
      assert.equal(code, 0, `${scenario}: ${printed.slice(-3000)}`);
      assert.ok(ran.size > 0, `${scenario} left no checks`);
    }
  });
}

test('what can not be translated is said in the documentation', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/CONFORMANCE.md'), 'utf8');
  const all = Object.values(UNTRANSLATABLE).flat();
  assert.ok(all.length <= 5);
  for (const scenario of all) assert.ok(page.includes(`\`${scenario}\``), scenario);
});
