// MCP Inspector 0.21.2 in a browser: the steps of the published experiment, one click after the other.
import assert from 'node:assert/strict';
import test from 'node:test';

import { claims } from './js/clients.mjs';
import { everything, gateway } from './js/gateway.mjs';
import { Inspector } from './js/inspector.mjs';
import { demo } from './js/sekisho.mjs';

for (const connection of ['Via Proxy', 'Direct']) {
  test(`the published experiment, ${connection}`, async (t) => {
    const place = await demo(t);
    const inspector = await Inspector.start(t);
    const label = connection.replace(' ', '-').toLowerCase();
    const settings = { url: place.mcp_endpoint, clientId: place.client_metadata_document, connection };

    // CI-18, AS-24, AS-25, SEC-18
    await t.test('logs in and agrees', async () => {
      await inspector.fillIn({ ...settings, scope: 'mcp:tools' });
      await inspector.picture(`${label}-1-settings`);
      await inspector.connect();
      await inspector.logIn(place.username, place.password);
      const shown = await inspector.consent();
      assert.match(shown, /127\.0\.0\.1/);
      await inspector.connected();
      await inspector.picture(`${label}-2-connected`);
      const { access_token: token } = await inspector.tokens();
      const { iss, aud, scope } = claims(token);
      assert.equal(iss, place.issuer);
      assert.ok(aud.includes('mcp-gateway-demo'));
      assert.ok(scope.split(' ').includes('mcp:tools'));
    });

    await t.test('lists the tools', async () => {
      const tools = await inspector.listTools();
      for (const tool of ['add_numbers', 'greet_user', 'multiply_numbers']) assert.ok(tools.includes(`my-mcp-server___${tool}`), String(tools));
    });

    await t.test('adds and multiplies', async () => {
      assert.match(await inspector.callTool('add_numbers', { a: 2, b: 3 }), /Success[\s\S]*\b5\b/);
      await inspector.picture(`${label}-3-added`);
      assert.match(await inspector.callTool('multiply_numbers', { a: 2, b: 3 }), /Success[\s\S]*\b6\b/);
      await inspector.picture(`${label}-4-multiplied`);
    });

    // Connected directly, the Inspector asks for what the challenge recommends, whatever was filled in.
    if (connection === 'Direct') return;

    // AS-7
    await t.test('an unknown scope is refused', async () => {
      await inspector.forget();
      await inspector.fillIn({ ...settings, scope: 'mcp:fail' });
      await inspector.connect();
      const told = await inspector.refusal();
      await inspector.picture(`${label}-5-refused`);
      assert.match(told, /invalid_scope|mcp:fail/);
      assert.equal(await inspector.tokens(), undefined);
    });
  });
}

test('the reference server with everything behind the gateway', async (t) => {
  const upstream = await everything(t);
  const place = await gateway(t, [{ name: 'everything', url: upstream.url }]);
  const inspector = await Inspector.start(t);
  await inspector.fillIn({ url: place.mcp_endpoint, clientId: place.task.clientId, scope: 'mcp:tools', connection: 'Via Proxy' });
  await inspector.connect();
  await inspector.logIn('alice', 'alice');
  await inspector.consent();
  await inspector.connected();

  await t.test('reads a resource', async () => {
    const resources = await inspector.listResources('features.md');
    assert.ok(resources.includes('architecture.md'), String(resources));
    const text = await inspector.readResource('features.md');
    await inspector.picture('everything-1-resource');
    assert.match(text, /^"# Everything Server - Features\n[\s\S]*\n## Prompts\n/);
  });

  await t.test('gets a prompt', async () => {
    const prompts = await inspector.listPrompts('A prompt with two arguments');
    assert.ok(prompts.includes('everything___simple-prompt'), String(prompts));
    const message = await inspector.getPrompt('args-prompt', { city: 'Lisbon', state: 'Portugal' });
    await inspector.picture('everything-2-prompt');
    assert.equal(message, '"What\'s weather in Lisbon, Portugal?"');
  });

  await t.test('fills in a form in mid-call', async () => {
    await inspector.listTools('Trigger a Request from the Server for User Elicitation');
    const question = await inspector.callAskingTool('Trigger Elicitation Request Tool');
    assert.match(question, /Please provide inputs for the following fields:/);
    // The page knows from the schema what it must not send.
    assert.match(await inspector.submitInvalid(), /Required field missing: name/);
    await inspector.fillForm({
      String: 'Alice of the form',
      Boolean: true,
      'String with date format': '1990-05-17',
      Integer: '7',
      'Titled Single Select Enum': 'Wonder Woman',
    });
    await inspector.picture('everything-3-form');
    const result = await inspector.submit();
    await inspector.picture('everything-4-answered');
    assert.match(result, /Success[\s\S]*User provided the requested information!/);
    for (const line of ['Name: Alice of the form', 'Agreed to terms: true', 'Birthdate: 1990-05-17', 'Favorite Integer: 7']) {
      assert.ok(result.includes(`- ${line}\n`), result);
    }
    assert.match(result, /"titledSingleSelectEnum": "hero-3"/);
    assert.match(result, /"firstLine": "It was a dark and stormy night\."/);
  });
});
