// A real Keycloak with the realm of the published experiment.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterwards, freePorts, Program, required, scratch } from './processes.mjs';

const settings = join(import.meta.dirname, '..', 'keycloak');
const admin = { username: 'admin', password: 'admin' };

export class Keycloak {
  /**
   * Starts it on a plain loopback port behind `https://auth.DOMAIN:PORT`, trusting `caCertificate`, and makes the realm.
   * Names below the domain are this machine for it, too.
   */
  static async start(t, { domain, edgePort, caCertificate, httpPort }) {
    const folder = scratch(t);
    const home = join(folder, 'keycloak');
    cpSync(required('SEKISHO_E2E_KEYCLOAK'), home, { recursive: true });
    const names = ['auth', 'cimd', 'gateway', 'mcp-server'].map((role) => `${role}.${domain}`);
    writeFileSync(join(folder, 'hosts'), ['localhost', ...names].map((name) => `127.0.0.1 ${name}\n`).join(''));
    const [managementPort] = await freePorts(1);
    const cimd = '--spi-client-policy-executor--client-id-metadata-document';
    const args = [
      'start', '--optimized', '--http-enabled=true', '--http-host=127.0.0.1', `--http-port=${httpPort}`,
      `--http-management-port=${managementPort}`, `--hostname=https://auth.${domain}:${edgePort}`, '--proxy-headers=xforwarded',
      `--truststore-paths=${caCertificate}`, `${cimd}--min-cache-time=1`, `${cimd}--max-cache-time=60`,
    ];
    const env = {
      JAVA_HOME: required('SEKISHO_E2E_JAVA_HOME'),
      JAVA_OPTS_APPEND: `-Xmx512m -XX:TieredStopAtLevel=1 -Djdk.net.hosts.file=${join(folder, 'hosts')}`,
      KC_BOOTSTRAP_ADMIN_USERNAME: admin.username,
      KC_BOOTSTRAP_ADMIN_PASSWORD: admin.password,
    };
    const program = new Program('keycloak', join(home, 'bin', 'kc.sh'), args, { env, cwd: folder });
    afterwards(t, () => program.stop(30));
    const keycloak = new Keycloak(program, `http://127.0.0.1:${httpPort}`, domain);
    const answers = async () => (await fetch(`${keycloak.origin}/realms/master`)).ok;
    await program.until('an answer of the realm `master`', answers, 240);
    await keycloak.#makeRealm();
    return keycloak;
  }

  constructor(program, origin, domain) {
    Object.assign(this, { program, origin, domain });
  }

  /** The realm without its scopes first: a realm that lists scopes gets none of the built-in ones. */
  async #makeRealm() {
    const read = (name) => readFileSync(join(settings, name), 'utf8').replaceAll('DOMAIN', this.domain);
    await this.admin('POST', '/realms', read('realm.json'));
    const created = await this.admin('POST', '/realms/mcp-demo/client-scopes', read('mcp-tools.json'));
    const id = created.headers.get('location').split('/').at(-1);
    await this.admin('PUT', `/realms/mcp-demo/default-optional-client-scopes/${id}`, '{}');
  }

  /** Takes "OAuth 2.1 compliant" from the rules for redirect URIs. */
  async acceptPortsOfLoopback() {
    const path = '/realms/mcp-demo/client-policies/profiles';
    const { profiles } = await (await this.admin('GET', path)).json();
    for (const { executors } of profiles) {
      const rule = executors.find(({ executor }) => executor === 'secure-redirect-uris-enforcer');
      if (rule) rule.configuration['oauth-2-1-compliant'] = false;
    }
    await this.admin('PUT', path, JSON.stringify({ profiles }));
  }

  /** A request to its administrative API. */
  async admin(method, path, body) {
    const form = new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', ...admin });
    const token = await fetch(`${this.origin}/realms/master/protocol/openid-connect/token`, { method: 'POST', body: form });
    const { access_token } = await token.json();
    const headers = { Authorization: `Bearer ${access_token}`, 'Content-Type': 'application/json' };
    const response = await fetch(`${this.origin}/admin${path}`, { method, body, headers });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }
}
