// The official server suite, directly against servers on the official SDKs and through the gateway: both revisions, and servers of
// both eras, of the session era only, and of the stateless era only; with a token and without; and the release of it that is older.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { report } from './js/clients.mjs';
import { lost, passed, requiredOf, shown, suite } from './js/conformance.mjs';
import { gateway } from './js/gateway.mjs';
import { accepts, afterwards, freePorts, Program, required } from './js/processes.mjs';
import { serve } from './js/sekisho.mjs';
import { withToken } from './js/with-token.mjs';

const REVISIONS = ['2025-11-25', '2026-07-28'];
const SPOKEN = { both: REVISIONS, session: ['2025-11-25'], stateless: ['2026-07-28'] };

/** What one era has no words for; docs/CONFORMANCE.md says why. */
const UNTRANSLATABLE = {
  'session 2026-07-28': ['input-required-result-basic-elicitation', 'server-stateless'],
  'stateless 2025-11-25': [],
};

/** What is about streams, and an answer comes in one piece through the gateway if nothing was said on its stream before it. */
const QUIET = { rmcp: ['server-sse-polling'], typescript: [] };

const SERVERS = {
  rmcp: (port, eras) => [required('SEKISHO_E2E_RMCP'), [`${port}`, eras]],
  typescript: (port, eras) => [process.execPath, ['--import', './js/modules.mjs', 'js/conformance-server.mjs', `${port}`, eras]],
};

/** A server with everything, on a port of its own. */
async function fixture(t, server, eras) {
  const [port] = await freePorts(1);
  const [command, args] = SERVERS[server](port, eras);
  const program = new Program(`${server}-${eras}`, command, args, { cwd: import.meta.dirname });
  afterwards(t, () => program.stop());
  await program.until('port', () => accepts(port));
  return `http://127.0.0.1:${port}/mcp`;
}

/** A server with everything, and a gateway before it that anybody on this machine may call. */
async function behindGateway(t, server, eras) {
  const direct = await fixture(t, server, eras);
  const [port, management] = await freePorts(2);
  await serve(t, {
    listeners: [{ name: 'main', address: `127.0.0.1:${port}` }],
    management: { address: `127.0.0.1:${management}` },
    egress: { allow_networks: ['127.0.0.0/8'] },
    gateways: [{
      name: 'conformance', url: `http://localhost:${port}/mcp`, danger_no_authorization: true, tool_names: 'bare', targets: [{ name: server, mcp: { url: direct } }],
    }],
  });
  return { direct, through: `http://localhost:${port}/mcp` };
}

/** A server with everything, and a gateway before it that wants a token of its own realm, which is added for the suite. */
async function behindLogin(t, server, eras) {
  const direct = await fixture(t, server, eras);
  const place = await gateway(t, [{ name: server, url: direct }], 'bare');
  assert.equal((await fetch(place.mcp_endpoint, { method: 'POST' })).status, 401);
  const { tokens, error } = await report('typescript', place, { ...place.task, era: 'auto', calls: [] });
  assert.equal(error, undefined, JSON.stringify(error));
  return { direct, through: await withToken(t, place.mcp_endpoint, tokens.access_token) };
}

const of = (url, revision) => ['server', '--url', url, '--requirements', revision];

/** Runs the suite in both revisions, directly where the server speaks the era, and through the gateway. */
async function compare(t, [server, eras], { direct, through }, name = `${server}-${eras}`) {
  for (const revision of REVISIONS) {
    const wanted = requiredOf('server', revision);
    const isSpoken = SPOKEN[eras].includes(revision);
    const before = isSpoken ? await suite(`${name}-${revision}-direct`, of(direct, revision)) : undefined;
    if (isSpoken) assert.deepEqual(wanted.filter((one) => !passed(before).includes(one)), [], `the fixture itself passes what ${revision} requires`);
    const after = await suite(`${name}-${revision}-gateway`, of(through, revision));
    const failed = wanted.filter((one) => !passed(after).includes(one)).sort();
    t.diagnostic(`${revision}: ${wanted.length - failed.length} of ${wanted.length} required`);
    assert.deepEqual(failed, UNTRANSLATABLE[`${eras} ${revision}`] ?? [], after.printed.slice(-3000));
    if (!isSpoken) continue;
    t.diagnostic(`${revision}, not scored: ${shown(before).filter((one) => !wanted.includes(one)).join(', ')}`);
    assert.deepEqual(lost(before, after, QUIET[server]), [], after.printed.slice(-3000));
  }
}

for (const server of Object.keys(SERVERS)) {
  for (const eras of Object.keys(SPOKEN)) {
    test(`${server}, ${eras}: the suite through the gateway`, async (t) => {
      await compare(t, [server, eras], await behindGateway(t, server, eras));
    });
  }

  for (const eras of ['both', 'session']) {
    test(`${server}, ${eras}: the suite of release 0.1 through the gateway`, async (t) => {
      const { direct, through } = await behindGateway(t, server, eras);
      const whole = (url) => ['server', '--url', url, '--suite', 'all'];
      const before = await suite(`${server}-${eras}-0.1-direct`, whole(direct), { release: '0.1' });
      const after = await suite(`${server}-${eras}-0.1-gateway`, whole(through), { release: '0.1' });
      t.diagnostic(`${shown(before).length} of ${before.scenarios.size} directly, ${shown(after).length} through the gateway`);
      assert.deepEqual(requiredOf('server', '2025-11-25').filter((one) => !passed(before).includes(one)), [], before.printed.slice(-3000));
      assert.deepEqual(lost(before, after, QUIET[server]), [], after.printed.slice(-3000));
    });
  }
}

test('typescript, both: the suite through a gateway that wants a token', async (t) => {
  await compare(t, ['typescript', 'both'], await behindLogin(t, 'typescript', 'both'), 'token');
});

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
