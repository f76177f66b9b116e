// openid-client 5, a strict OpenID Connect client: what it knows of the server it has from discovery, and it checks every ID token.
// It registers as OpenID Connect has it by default, with a secret that goes into the header.
import { generators, Issuer } from 'openid-client-5';

import { talk } from './caller.mjs';
import { authorize } from './person.mjs';

const task = JSON.parse(process.argv[2]);
const metadata = {
  client_name: 'openid-client 5',
  redirect_uris: [task.redirectUri],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};
const opened = [];
let client;

async function logIn() {
  const issuer = await Issuer.discover(task.issuer);
  client = task.clientMetadataUrl
    ? new issuer.Client({ ...metadata, client_id: task.clientMetadataUrl, token_endpoint_auth_method: 'none' })
    : await issuer.Client.register(metadata);
  const checks = { code_verifier: generators.codeVerifier(), state: generators.state(), nonce: generators.nonce(), response_type: 'code' };
  const url = client.authorizationUrl({
    scope: 'openid profile email mcp:tools',
    resource: task.url,
    state: checks.state,
    nonce: checks.nonce,
    code_challenge: generators.codeChallenge(checks.code_verifier),
    code_challenge_method: 'S256',
  });
  opened.push(url);
  const callback = await authorize(url, task);
  const tokens = await client.callback(task.redirectUri, client.callbackParams(callback.href), checks, { exchangeBody: { resource: task.url } });
  const person = await client.userinfo(tokens);
  if (person.email !== 'alice@example.com') throw new Error(`who is ${JSON.stringify(person)}?`);
  return { ...tokens, expires_in: tokens.expires_in };
}

async function refresh({ refresh_token: refreshToken }) {
  const tokens = await client.refresh(refreshToken);
  return { ...tokens, expires_in: tokens.expires_in };
}

await talk(task, { logIn, refresh, opened });
