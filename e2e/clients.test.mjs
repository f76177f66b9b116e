// The official TypeScript and Python clients against the demonstration, in both eras: nobody registered them beforehand.
import assert from 'node:assert/strict';
import test from 'node:test';

import { claims, report } from './js/clients.mjs';
import { demo } from './js/sekisho.mjs';

const LATEST = { legacy: '2025-11-25', '2026-07-28': '2026-07-28', auto: '2026-07-28' };
const TOOLS = ['my-mcp-server___add_numbers', 'my-mcp-server___greet_user', 'my-mcp-server___multiply_numbers'];

for (const tls of [true, false]) {
  test(tls ? 'over HTTPS, by metadata document' : 'over loopback HTTP, with the document as the client id', async (t) => {
    const place = await demo(t, { tls });
    // Both clients take only an https URL for a metadata document of their own.
    const identity = tls
      ? { clientMetadataUrl: place.client_metadata_document }
      : { clientId: place.client_metadata_document, issuer: place.issuer };
    const task = { ...identity, redirectUri: 'http://127.0.0.1:6274/oauth/callback', refresh: true };

    for (const language of ['typescript', 'python']) {
      for (const era of ['legacy', '2026-07-28', 'auto']) {
        // AS-2, AS-9, AS-28, AS-29, CL-1, CL-2, CL-8, CL-9, CL-10, RS-1, RS-2, RS-3, TL-2, TM-15
        await t.test(`${language} client, ${era}: logs in, lists, calls and refreshes`, async () => {
          const seen = await report(language, place, { ...task, era });
          assert.equal(seen.error, undefined, JSON.stringify(seen.error));
          assert.equal(seen.version, LATEST[era]);
          for (const tool of TOOLS) assert.ok(seen.tools.includes(tool), `no ${tool} in ${seen.tools}`);
          assert.equal(seen.sum, '5');
          assert.equal(seen.product, '6');
          assert.match(seen.greeting, /Alice/);

          const asked = new URL(seen.authorizationUrl).searchParams;
          assert.equal(asked.get('client_id'), place.client_metadata_document);
          assert.equal(asked.get('code_challenge_method'), 'S256');
          assert.equal(asked.get('resource'), place.mcp_endpoint);
          const answered = new URL(seen.callback).searchParams;
          assert.equal(answered.get('iss'), place.issuer);

          const token = claims(seen.tokens.access_token);
          assert.equal(token.iss, place.issuer);
          assert.ok(token.aud.includes('mcp-gateway-demo'), `aud is ${JSON.stringify(token.aud)}`);
          assert.deepEqual(token.scope.split(' ').sort(), ['email', 'mcp:tools', 'profile']);
          assert.equal(token.client_id, place.client_metadata_document);

          // AS-19
          assert.deepEqual(seen.refreshed, { access: true, refresh: true });
          assert.equal(seen.sumAfterRefresh, '23');
        });
      }

      // AS-7, RS-12
      await t.test(`${language} client: an unknown scope is refused`, async () => {
        const seen = await report(language, place, { ...task, era: 'auto', scope: 'mcp:fail' });
        assert.ok(seen.error, `it went through: ${JSON.stringify(seen)}`);
        assert.equal(seen.tokens, undefined);
        assert.equal(seen.tools, undefined);
      });
    }
  });
}
