// The published experiment as it stands: a real Keycloak is the authorization server; Sekisho is the host of the client's
// document, the gateway, and the edge in front of Keycloak and of the MCP server. Every hop is HTTPS by name.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { claims, report, surroundings } from './js/clients.mjs';
import { Inspector } from './js/inspector.mjs';
import { Keycloak } from './js/keycloak.mjs';
import { accepts, afterwards, artefacts, freePorts, Program, required, run, scratch } from './js/processes.mjs';
import { localCa, serve } from './js/sekisho.mjs';

const DOMAIN = 'sekisho.test';

function document(url, redirectUris) {
  return {
    url,
    document: {
      client_name: 'MCP Inspector AWS CIMD Client',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      redirect_uris: redirectUris,
    },
  };
}

/** Roles and ports: one HTTPS port with four names, Keycloak and the MCP server on plain loopback ports behind it. */
function configuration({ port, keycloakPort, mcpPort, inspectorPort }) {
  const at = (role) => `https://${role}.${DOMAIN}:${port}`;
  const roles = ['auth', 'cimd', 'gateway', 'mcp-server'];
  return {
    listeners: [{ name: 'main', address: `127.0.0.1:${port}`, tls: { local_ca: true } }],
    management: { address: '127.0.0.1:0' },
    store: { url: 'sqlite::memory:' },
    egress: {
      hosts: Object.fromEntries(roles.map((role) => [`${role}.${DOMAIN}`, `127.0.0.1:${port}`])),
      allow_networks: ['127.0.0.0/8'],
    },
    documents: [
      // What Keycloak 26.7 accepts of a loopback address: no port here, one in the request; docs/keycloak.md tells more.
      document(`${at('cimd')}/oauth/client-metadata.json`, ['http://127.0.0.1/oauth/callback']),
      document(`${at('cimd')}/oauth/as-printed.json`, ['http://localhost:6274/oauth/callback']),
      document(`${at('cimd')}/oauth/inspector.json`, [`http://127.0.0.1:${inspectorPort}/oauth/callback`]),
    ],
    gateways: [{
      name: 'mcp-gateway-keycloak-demo',
      url: `${at('gateway')}/mcp`,
      authorizer: {
        discovery_url: `${at('auth')}/realms/mcp-demo/.well-known/openid-configuration`,
        allowed_audiences: ['mcp-gateway-demo'],
        allowed_scopes: ['mcp:tools'],
      },
      targets: [{ name: 'my-mcp-server', mcp: { url: `${at('mcp-server')}/mcp` } }],
    }],
    proxies: [
      { url: at('auth'), upstream: `http://127.0.0.1:${keycloakPort}` },
      { url: at('mcp-server'), upstream: `http://127.0.0.1:${mcpPort}` },
    ],
  };
}

test('Keycloak as the authorization server', async (t) => {
  const [port, keycloakPort, mcpPort, inspectorPort] = await freePorts(4);
  const { folder, program, ready } = await serve(t, configuration({ port, keycloakPort, mcpPort, inspectorPort }));
  const mcp = new Program('fastmcp1', required('SEKISHO_E2E_PYTHON_MCP1'), [join(import.meta.dirname, 'python', 'fastmcp1.py'), String(mcpPort)]);
  afterwards(t, () => mcp.stop());
  await mcp.until('port', () => accepts(mcpPort));
  const place = {
    domain: DOMAIN,
    ca_certificate: localCa(folder),
    mcp_endpoint: `https://gateway.${DOMAIN}:${port}/mcp`,
    issuer: `https://auth.${DOMAIN}:${port}/realms/mcp-demo`,
    client_metadata_document: `https://cimd.${DOMAIN}:${port}/oauth/client-metadata.json`,
  };
  const keycloak = await Keycloak.start(t, { domain: DOMAIN, edgePort: port, caCertificate: place.ca_certificate, httpPort: keycloakPort });
  // The gateway was there first; it asks for the keys of its issuer again within two seconds.
  await program.until('keys of the issuer', async () => {
    const readiness = await fetch(`http://${ready.management}/readyz/gateway?verbose`);
    return /^\[\+\] gateway .*keys of/m.test(await readiness.text());
  }, 30);
  const task = { clientMetadataUrl: place.client_metadata_document, redirectUri: 'http://127.0.0.1:6274/oauth/callback' };

  for (const era of ['legacy', '2026-07-28']) {
    // SEC-40, SEC-41: `typ: JWT`, `aud` a string, `azp` instead of `client_id`.
    await t.test(`the good case, ${era}`, async () => {
      const seen = await report('typescript', place, { ...task, era, refresh: true });
      assert.equal(seen.error, undefined, JSON.stringify(seen.error));
      assert.equal(seen.version, era === 'legacy' ? '2025-11-25' : '2026-07-28');
      assert.deepEqual([...seen.tools].sort(), ['add_numbers', 'greet_user', 'multiply_numbers'].map((name) => `my-mcp-server___${name}`));
      assert.equal(seen.sum, '5');
      assert.equal(seen.product, '6');
      assert.equal(seen.greeting, 'Hello, Alice! Nice to meet you.');
      assert.equal(seen.sumAfterRefresh, '23');
      const token = claims(seen.tokens.access_token);
      assert.equal(token.iss, place.issuer);
      assert.equal(token.aud, 'mcp-gateway-demo');
      assert.equal(token.azp, place.client_metadata_document);
      // The client asks for `offline_access` by itself, since Keycloak's metadata lists it.
      assert.deepEqual(token.scope.split(' ').sort(), ['email', 'mcp:tools', 'offline_access', 'profile']);
    });
  }

  await t.test('the document as printed, with `localhost` and a port, is refused', async () => {
    const clientId = place.client_metadata_document.replace('client-metadata', 'as-printed');
    const redirectUri = 'http://localhost:6274/oauth/callback';
    const seen = await report('typescript', place, { clientMetadataUrl: clientId, redirectUri, era: 'legacy' });
    assert.match(JSON.stringify(seen.error), /invalid loopback address/);
  });

  await t.test('the bad case: an unknown scope', async () => {
    const seen = await report('typescript', place, { ...task, era: 'legacy', scope: 'mcp:fail' });
    assert.match(JSON.stringify(seen.error), /invalid_scope|Invalid scopes/i);
    assert.match(seen.callback, /error=invalid_scope/);
    assert.equal(seen.tools, undefined);
  });

  // SEC-37, RS-7, RS-12
  await t.test('the bad case: a token without the gateway as its audience', async () => {
    const seen = await report('typescript', place, { ...task, era: 'legacy', scope: 'openid' });
    assert.ok(seen.error, 'the gateway took a token that was not made for it');
    assert.equal(seen.tools, undefined);
  });

  // A browser client needs its port in the document, or Keycloak's token endpoint refuses its origin.
  await t.test('MCP Inspector 0.21.2 in a browser', async (t) => {
    await keycloak.acceptPortsOfLoopback();
    const inspector = await Inspector.start(t, { domain: DOMAIN, caCertificate: place.ca_certificate, clientPort: inspectorPort });
    const settings = { url: place.mcp_endpoint, clientId: place.client_metadata_document.replace('client-metadata', 'inspector') };
    await inspector.fillIn({ ...settings, scope: 'mcp:tools' });
    await inspector.connect();
    await inspector.logIn('alice', 'alice');
    assert.match(await inspector.consent(), /cimd\.sekisho\.test/);
    await inspector.connected();
    await inspector.listTools();
    assert.match(await inspector.callTool('add_numbers', { a: 2, b: 3 }), /Success[\s\S]*\b5\b/);
    assert.match(await inspector.callTool('multiply_numbers', { a: 2, b: 3 }), /Success[\s\S]*\b6\b/);
    await inspector.picture('keycloak-called');
    await inspector.forget();
    await inspector.fillIn({ ...settings, scope: 'mcp:fail' });
    await inspector.connect();
    assert.match(await inspector.refusal(), /invalid_scope|Invalid scopes/);
    await inspector.picture('keycloak-refused');
  });

  await t.test('`sekisho verify` walks it and names what Keycloak does', async (t) => {
    const password = join(scratch(t), 'password');
    writeFileSync(password, 'alice');
    const resolve = ['auth', 'cimd', 'gateway'].flatMap((role) => ['--resolve', `${role}.${DOMAIN}=127.0.0.1:${port}`]);
    const args = [
      'verify', place.mcp_endpoint, '--user', 'alice', '--password-file', password, '--client-id', place.client_metadata_document,
      '--ca-file', place.ca_certificate, ...resolve, '--json',
    ];
    const seen = await run(required('SEKISHO_BIN'), args, { env: surroundings(place), seconds: 120 });
    writeFileSync(join(artefacts, 'verify.json'), seen.stdout);
    writeFileSync(join(artefacts, 'verify.log'), seen.stderr);
    const { findings } = JSON.parse(seen.stdout);
    const that = (outcome) => findings.filter((finding) => finding.outcome === outcome).map((finding) => finding.id);
    assert.ok(that('ok').length > 30, seen.stdout);
    // What docs/keycloak.md tells: a metadata URL that is missing, `plain`, and an ignored `resource`.
    for (const id of ['discovery.server-metadata-urls', 'discovery.pkce-advertised', 'token.wrong-resource']) {
      assert.ok(that('warn').includes(id), `no warning ${id}: ${that('warn')}`);
    }
    assert.deepEqual(that('fail'), []);
  });
});
