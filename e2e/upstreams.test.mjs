// FastMCP servers of both generations as upstreams of `sekisho serve`; what nobody here wrote is behind the gateway.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import { report } from './js/clients.mjs';
import { everything, gateway } from './js/gateway.mjs';
import { withToken } from './js/with-token.mjs';
import { accepts, afterwards, freePorts, Program, required } from './js/processes.mjs';

/** A FastMCP server on a port of its own; with `sse`, on the transport of 2024-11-05. */
async function fastmcp(t, generation, kind = 'fastmcp', transport = undefined) {
  const [port] = await freePorts(1);
  const script = join(import.meta.dirname, 'python', `${kind}${generation}.py`);
  const program = new Program(`${kind}${generation}`, required(`SEKISHO_E2E_PYTHON_MCP${generation}`), [script, String(port), ...(transport ? [transport] : [])]);
  afterwards(t, () => program.stop());
  await program.until('port', () => accepts(port));
  return { program, url: `http://127.0.0.1:${port}/${transport ?? 'mcp'}` };
}

/** The official clients, in each era. */
const CLIENTS = ['typescript', 'python'].flatMap((language) => ['legacy', '2026-07-28'].map((era) => [language, era]));

const NAMES = ['add_numbers', 'greet_user', 'multiply_numbers'];

for (const generation of [1, 2]) {
  test(`a FastMCP server on mcp ${generation}.x behind the gateway`, async (t) => {
    const upstream = await fastmcp(t, generation);
    const place = await gateway(t, [{ name: 'my-mcp-server', url: upstream.url }]);

    for (const [language, era] of CLIENTS) {
      // TM-16, UC-3, UC-4
      await t.test(`a ${language} client of ${era} reads resources, gets a prompt and has arguments completed`, async () => {
        const seen = await report(language, place, { ...place.task, era, everything: true });
        assert.equal(seen.error, undefined, JSON.stringify(seen.error));
        assert.deepEqual(seen.resources, ['note://today']);
        assert.deepEqual(seen.templates, ['note://{day}/tasks']);
        assert.deepEqual(seen.prompts, ['my-mcp-server___plan']);
        assert.equal(seen.listed, 'Nothing is planned.');
        assert.equal(seen.templated, 'Nothing is to be done on Monday.');
        assert.notEqual(seen.missing, 'there');
        assert.equal(seen.prompt, 'Plan my Monday.');
        assert.deepEqual(seen.completed, [['Monday'], ['Monday']]);
      });
    }

    for (const era of ['legacy', '2026-07-28']) {
      // UC-1, UC-2, UC-3, UC-6, UC-8
      await t.test(`a client of ${era} lists and calls`, async () => {
        const seen = await report('typescript', place, { ...place.task, era });
        assert.equal(seen.error, undefined, JSON.stringify(seen.error));
        assert.deepEqual([...seen.tools].sort(), NAMES.map((name) => `my-mcp-server___${name}`));
        assert.equal(seen.sum, '5');
        assert.equal(seen.product, '6');
        assert.equal(seen.greeting, 'Hello, Alice! Nice to meet you.');
      });
    }
  });
}

for (const [generation, transport] of [[1], [1, 'sse'], [2]]) {
  test(`a FastMCP server on mcp ${generation}.x that asks in mid-call${transport ? `, over ${transport}` : ''}`, async (t) => {
    const upstream = await fastmcp(t, generation, 'asking', transport);
    const place = await gateway(t, [{ name: 'asking', url: upstream.url }]);

    for (const [language, era] of CLIENTS) {
      // TL-4, TM-18, TM-19, UC-12
      await t.test(`a ${language} client of ${era} is asked, and two at once each for himself`, async () => {
        const ask = (asked) => report(language, place, { ...place.task, era, asked });
        const people = ['alice', 'bob'];
        const seen = await Promise.all(people.map(ask));
        for (const [at, name] of people.entries()) {
          assert.equal(seen[at].error, undefined, JSON.stringify(seen[at].error));
          assert.equal(seen[at].booked, `accept: ${name}'s day`);
          assert.equal(seen[at].summedUp, `${name} hears: Sum up: all`);
          assert.match(seen[at].where, new RegExp(`^file:///home/${name}/?$`));
          assert.deepEqual(seen[at].questions, ['Which day?']);
        }
        const declined = await ask('nobody');
        assert.equal(declined.booked, 'decline: none');
      });
    }
  });
}

for (const [transport, path] of [['streamableHttp', 'mcp'], ['sse', 'sse']]) test(`the reference server with everything, over ${transport}`, async (t) => {
  const upstream = await everything(t, transport, path);
  const place = await gateway(t, [{ name: 'everything', url: upstream.url }]);
  const calls = [
    ['echo', { message: 'hello' }], ['trigger-elicitation-request', {}], ['trigger-url-elicitation', { url: 'https://example.test/' }],
    ['trigger-sampling-request', { prompt: 'a word', maxTokens: 10 }], ['get-roots-list', {}],
  ];
  for (const era of ['legacy', '2026-07-28']) {
    // UC-12, TL-9, TM-19
    await t.test(`a client of ${era} is asked for everything`, async () => {
      const seen = await report('typescript', place, { ...place.task, era, asked: 'alice', calls });
      assert.equal(seen.error, undefined, JSON.stringify(seen.error));
      assert.equal(seen.called.echo, 'Echo: hello');
      assert.match(seen.called['trigger-elicitation-request'], /provided the requested information/);
      assert.match(seen.called['trigger-url-elicitation'], /completed the URL elicitation/);
      assert.match(seen.called['trigger-sampling-request'], /alice hears: .*a word/s);
      assert.match(seen.called['get-roots-list'], /file:\/\/\/home\/alice/);
      assert.ok(seen.prompts.includes('everything___simple-prompt'));
      assert.ok(seen.read.length > 0);
    });
  }
});

// TL-6, TL-7: the SDK comes back by itself, as it does when a network fails.
test('a client whose connection breaks in the middle of a call takes its stream up', async (t) => {
  const { url } = await everything(t);
  const place = await gateway(t, [{ name: 'everything', url }]);
  const { tokens, error } = await report('typescript', place, { ...place.task, era: 'legacy', calls: [] });
  assert.equal(error, undefined, JSON.stringify(error));
  const cameBack = [];
  let broken = 0;
  const cuts = ({ method, headers }, piece) => {
    if (headers['last-event-id']) cameBack.push(headers['last-event-id']);
    if (method !== 'POST' || !piece.includes('notifications/progress')) return false;
    broken += 1;
    return true;
  };
  const through = await withToken(t, place.mcp_endpoint, tokens.access_token, { cuts });
  const client = new Client({ name: 'on a bad network', version: '1' });
  const reconnectionOptions = { initialReconnectionDelay: 50, maxReconnectionDelay: 500, reconnectionDelayGrowFactor: 1.5, maxRetries: 5 };
  await client.connect(new StreamableHTTPClientTransport(new URL(through), { reconnectionOptions }));
  const steps = [];
  const call = { name: 'everything___trigger-long-running-operation', arguments: { duration: 2, steps: 4 } };
  const { content } = await client.callTool(call, { onprogress: ({ progress }) => steps.push(progress) });
  await client.close();
  assert.match(content[0].text, /completed/);
  assert.deepEqual(steps, [1, 2, 3, 4]);
  assert.equal(broken, 1);
  assert.ok(cameBack.length > 0);
});

test('both generations behind one gateway', async (t) => {
  const [old, young] = await Promise.all([fastmcp(t, 1), fastmcp(t, 2)]);
  const place = await gateway(t, [{ name: 'old', url: old.url }, { name: 'young', url: young.url }]);
  const seen = await report('typescript', place, { ...place.task, era: '2026-07-28' });
  assert.equal(seen.error, undefined, JSON.stringify(seen.error));
  assert.deepEqual([...seen.tools].sort(), ['old', 'young'].flatMap((target) => NAMES.map((name) => `${target}___${name}`)));
  assert.equal(seen.sum, '5');
});

test('bare names, as one upstream calls them', async (t) => {
  const upstream = await fastmcp(t, 2);
  const place = await gateway(t, [{ name: 'my-mcp-server', url: upstream.url }], 'bare');
  const seen = await report('typescript', place, { ...place.task, era: 'auto' });
  assert.equal(seen.error, undefined, JSON.stringify(seen.error));
  assert.deepEqual([...seen.tools].sort(), NAMES);
  assert.equal(seen.product, '6');
});

test('an upstream that is gone is told to the client, and the gateway goes on', async (t) => {
  const [here, gone] = await Promise.all([fastmcp(t, 2), fastmcp(t, 1)]);
  const place = await gateway(t, [{ name: 'here', url: here.url }, { name: 'gone', url: gone.url }]);
  const before = await report('typescript', place, { ...place.task, era: 'auto' });
  assert.equal(before.error, undefined, JSON.stringify(before.error));
  await gone.program.stop();
  const after = await report('typescript', place, { ...place.task, era: 'auto' });
  assert.equal(after.error, undefined, JSON.stringify(after.error));
  assert.equal(after.sum, '5');
});
