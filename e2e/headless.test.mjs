// Clients that nobody here wrote and that need no window, each identified both ways: it registers itself, or it names its document.
// Access tokens live for a few seconds here, so that every client has to refresh. The waiting ones wait together.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import test from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { claims } from './js/clients.mjs';
import { Library } from './js/library.mjs';
import { McpRemote } from './js/mcp-remote.mjs';
import { Opencode } from './js/opencode.mjs';
import { freePorts } from './js/processes.mjs';
import { localCa, serve } from './js/sekisho.mjs';

const CLIENTS = {
  'mcp-remote': McpRemote,
  opencode: Opencode,
  'mcp 1.x': Library.of('mcp 1.x'),
  'openid-client 5': Library.of('openid-client 5'),
  'openid-client 6': Library.of('openid-client 6'),
};

/** Everything at one HTTPS address of this machine: that is a name which every program can resolve. */
function configuration({ port, mcpPort }) {
  const at = (path) => `https://localhost:${port}${path}`;
  return {
    listeners: [{ name: 'main', address: `127.0.0.1:${port}`, tls: { local_ca: true } }],
    management: { address: '127.0.0.1:0' },
    store: { url: 'sqlite::memory:' },
    egress: { hosts: { localhost: `127.0.0.1:${port}` }, allow_networks: ['127.0.0.0/8'] },
    realms: [{
      name: 'demo',
      url: at('/realms/demo'),
      lifetimes: { access_token: '3s' },
      scopes: [
        { name: 'profile', kind: 'default' },
        { name: 'email', kind: 'default' },
        { name: 'mcp:tools', kind: 'optional', audiences: ['mcp-gateway-demo'] },
      ],
      resources: [{ uri: at('/mcp'), default_scopes: ['mcp:tools'] }],
      users: [{ username: 'alice', password: { danger_literal: 'alice' }, name: 'Alice Example', email: 'alice@example.com' }],
      cimd: { mode: 'open', ports: [port], danger_allow_networks: ['127.0.0.0/8'] },
      registration: { mode: 'open' },
    }],
    documents: [{
      url: at('/oauth/client-metadata.json'),
      document: {
        client_name: 'A client with a document',
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://localhost/oauth/callback', 'http://127.0.0.1/oauth/callback', 'http://127.0.0.1/mcp/oauth/callback'],
      },
    }],
    gateways: [{
      name: 'demo',
      url: at('/mcp'),
      authorizer: {
        discovery_url: at('/realms/demo/.well-known/openid-configuration'),
        allowed_audiences: ['mcp-gateway-demo'],
        allowed_scopes: ['mcp:tools'],
      },
      targets: [{ name: 'my-mcp-server', mcp: { url: `http://127.0.0.1:${mcpPort}/mcp` } }],
    }],
    demo_mcp_server: { address: `127.0.0.1:${mcpPort}` },
  };
}

/** The status with which the gateway answers somebody with this access token. */
function status(place, accessToken) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
  const headers = {
    Authorization: `Bearer ${accessToken}`,
    Accept: 'application/json, text/event-stream',
    'Content-Type': 'application/json',
    'MCP-Protocol-Version': '2025-06-18',
  };
  return new Promise((resolve, reject) => {
    const request = https.request(place.mcp_endpoint, { method: 'POST', headers, ca: readFileSync(place.ca_certificate) }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Waits until the gateway takes this access token no more: its time is over, and the leeway for clocks, too. */
async function expired(place, accessToken) {
  while ((await status(place, accessToken)) !== 401) await pause(500);
}

test('clients without a window', { concurrency: true }, async (t) => {
  const [port, mcpPort] = await freePorts(2);
  const { folder } = await serve(t, configuration({ port, mcpPort }));
  const place = {
    ca_certificate: localCa(folder),
    mcp_endpoint: `https://localhost:${port}/mcp`,
    issuer: `https://localhost:${port}/realms/demo`,
  };
  const document = `https://localhost:${port}/oauth/client-metadata.json`;

  const both = Object.entries(CLIENTS).flatMap(([name, kind]) => [[name, kind, undefined], [name, kind, document]]);
  await Promise.all(both.map(([name, kind, clientMetadataUrl]) =>
    // AS-2, AS-9, AS-19, AS-22, AS-28, AS-29, RS-6, CL-5, CL-16, CI-14
    t.test(`${name}, ${clientMetadataUrl ? 'by its document' : 'registering itself'}: logs in, lists, calls and refreshes`, async (t) => {
      const client = await kind.start(t, place, { clientMetadataUrl });
      assert.equal(await client.add(2, 3), '5');
      const tools = await client.tools();
      for (const tool of ['add_numbers', 'greet_user', 'multiply_numbers']) assert.ok(tools.includes(`my-mcp-server___${tool}`), `${tool} is not in ${tools}`);

      const before = client.accessToken();
      await expired(place, before);
      assert.equal(await client.add(20, 3), '23');
      const after = client.accessToken();
      assert.notEqual(claims(after).jti, claims(before).jti);

      assert.equal(client.opened().length, 1, `a person was asked again: ${client.opened()}`);
      const asked = new URL(client.opened()[0]).searchParams;
      assert.equal(asked.get('code_challenge_method'), 'S256');
      assert.equal(asked.get('resource'), place.mcp_endpoint);
      if (clientMetadataUrl) assert.equal(asked.get('client_id'), clientMetadataUrl);
      else assert.doesNotMatch(asked.get('client_id'), /^https?:/);
      for (const token of [before, after]) {
        const { iss, aud, scope, client_id: clientId } = claims(token);
        assert.equal(iss, place.issuer);
        assert.ok([aud].flat().includes('mcp-gateway-demo'), `aud is ${JSON.stringify(aud)}`);
        assert.ok(scope.split(' ').includes('mcp:tools'), scope);
        assert.equal(clientId, asked.get('client_id'));
      }
    })));
});
