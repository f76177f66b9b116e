// openid-client 6, a strict OAuth and OpenID Connect client, told to check the signatures of ID tokens, too.
import * as oidc from 'openid-client-6';

import { talk } from './caller.mjs';
import { authorize } from './person.mjs';

const task = JSON.parse(process.argv[2]);
const metadata = {
  client_name: 'openid-client 6',
  redirect_uris: [task.redirectUri],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
};
const opened = [];
let server;

async function logIn() {
  const issuer = new URL(task.issuer);
  server = task.clientMetadataUrl
    ? await oidc.discovery(issuer, task.clientMetadataUrl, metadata, oidc.None())
    : await oidc.dynamicClientRegistration(issuer, metadata, oidc.None());
  oidc.enableNonRepudiationChecks(server);
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [oidc.randomState(), oidc.randomNonce()];
  const url = oidc.buildAuthorizationUrl(server, {
    redirect_uri: task.redirectUri,
    scope: 'openid profile email mcp:tools',
    resource: task.url,
    state: expectedState,
    nonce: expectedNonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  });
  opened.push(url.href);
  const callback = await authorize(url, task);
  const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true };
  const tokens = await oidc.authorizationCodeGrant(server, callback, checks, { resource: task.url });
  const person = await oidc.fetchUserInfo(server, tokens.access_token, tokens.claims().sub);
  if (person.email !== 'alice@example.com') throw new Error(`who is ${JSON.stringify(person)}?`);
  return tokens;
}

const refresh = ({ refresh_token: refreshToken }) => oidc.refreshTokenGrant(server, refreshToken, { resource: task.url });

await talk(task, { logIn, refresh, opened });
