// MCP Inspector 0.21.2 in headless Chromium, and what a person does in it.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

import { chromium } from 'playwright-core';

import { accepts, afterwards, artefacts, freePorts, Program, required, run } from './processes.mjs';

const PATIENCE = 20_000;

/** Without these the browser asks for its maker's hosts at every start. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-default-apps',
  '--disable-domain-reliability',
];

export class Inspector {
  /** Starts the Inspector as the published experiment does, and a browser in front of it. */
  static async start(t, { domain, caCertificate, clientPort } = {}) {
    const modules = join(required('SEKISHO_E2E_MODULES'), 'node_modules');
    const [freePort, serverPort] = await freePorts(2);
    const port = clientPort ?? freePort;
    const token = 'the-token-of-this-test';
    const env = {
      PATH: `${join(modules, '.bin')}${delimiter}${process.env.PATH}`,
      HOST: '127.0.0.1',
      ALLOWED_ORIGINS: `http://127.0.0.1:${port}`,
      CLIENT_PORT: String(port),
      SERVER_PORT: String(serverPort),
      MCP_PROXY_AUTH_TOKEN: token,
      MCP_AUTO_OPEN_ENABLED: 'false',
    };
    if (domain) {
      env.SEKISHO_E2E_DOMAIN = domain;
      env.NODE_OPTIONS = `--import ${join(import.meta.dirname, 'hosts.mjs')}`;
    }
    if (caCertificate) env.NODE_EXTRA_CA_CERTS = caCertificate;
    const start = join(modules, 'inspector-0.21', 'client', 'bin', 'start.js');
    // It ends its two halves on SIGINT only.
    const program = new Program('inspector', join(modules, '.bin', 'node'), [start], { env, signal: 'SIGINT' });
    afterwards(t, () => program.stop());
    await program.until('the page', async () => (await accepts(port)) && (await accepts(serverPort)));

    const args = [...QUIET];
    if (domain) args.push(`--host-resolver-rules=MAP *.${domain} 127.0.0.1`);
    const home = mkdtempSync(join(tmpdir(), 'sekisho-chromium-'));
    if (caCertificate) await trust(home, caCertificate);
    const browser = await chromium.launchPersistentContext(join(home, 'profile'), {
      executablePath: required('SEKISHO_E2E_CHROMIUM'),
      headless: true,
      locale: 'en-US',
      viewport: { width: 1280, height: 1000 },
      args,
      env: { ...process.env, HOME: home },
    });
    afterwards(t, async () => {
      await browser.close();
      rmSync(home, { recursive: true, force: true });
    });
    const page = browser.pages()[0] ?? (await browser.newPage());
    page.setDefaultTimeout(PATIENCE);
    const inspector = new Inspector(page);
    page.on('console', (message) => inspector.console.push(`${message.type()}: ${message.text()}`));
    // Settings of this kind are kept by the page; a mere MCP_PROXY_PORT would be forgotten on the way to the authorization server.
    const proxy = `http://127.0.0.1:${serverPort}`;
    await page.goto(`http://127.0.0.1:${port}/?MCP_PROXY_FULL_ADDRESS=${encodeURIComponent(proxy)}&MCP_PROXY_AUTH_TOKEN=${token}`);
    await page.getByText('Transport Type').waitFor();
    inspector.home = page.url();
    return inspector;
  }

  console = [];

  constructor(page) {
    this.page = page;
  }

  /** Does what a person does; keeps a picture and the browser's own words when it can't be done. */
  async try(what, action) {
    try {
      return await action();
    } catch (error) {
      await this.picture(`failed-${what}`).catch(() => {});
      const shown = await this.page.locator('body').innerText().catch(() => '');
      throw new Error(`${what}: ${error.message}\nat ${this.page.url()}\n${shown.slice(0, 1500)}\n${this.console.slice(-12).join('\n')}`, { cause: error });
    }
  }

  /** Keeps a picture of the page among the artefacts. */
  async picture(name) {
    await this.page.screenshot({ path: join(artefacts, `${name}.png`), fullPage: true });
  }

  /** Fills the left side in as the published experiment describes it. */
  async fillIn({ url, clientId, scope, connection = 'Via Proxy' }) {
    const { page } = this;
    await this.#choose('#transport-type-select', 'Streamable HTTP');
    await page.locator('#sse-url-input').fill(url);
    await this.#choose('#connection-type-select', connection);
    const authentication = page.getByTestId('auth-button');
    if ((await authentication.getAttribute('aria-expanded')) !== 'true') await authentication.click();
    if (clientId !== undefined) await page.getByTestId('oauth-client-id-input').fill(clientId);
    if (scope !== undefined) await page.getByTestId('oauth-scope-input').fill(scope);
  }

  async connect() {
    await this.page.getByRole('button', { name: /^(Connect|Reconnect)$/ }).click();
  }

  connected() {
    return this.try('connected', () => this.#connected());
  }

  async #connected() {
    const connected = this.page.getByText('Connected', { exact: true });
    // On a direct connection the Inspector may draw another verifier while its page is being left for the login. Its code is
    // then refused, rightly, and a person connects once more.
    const lost = () => this.console.some((line) => line.includes('`code_verifier` does not match'));
    for (let waited = 0; waited < 15 && !lost(); waited += 1) {
      if (await connected.waitFor({ timeout: 1000 }).then(() => true, () => false)) return;
    }
    if (lost()) {
      this.console = [];
      await this.connect();
      await this.consent();
    }
    await connected.waitFor();
  }

  /** Logs in on whatever page the authorization server shows. */
  logIn(username, password) {
    return this.try('logIn', () => this.#logIn(username, password));
  }

  async #logIn(username, password) {
    const { page } = this;
    await page.locator('input[name=username]').fill(username);
    await page.locator('input[name=password]').fill(password);
    await page.locator('button[value=login], #kc-login').first().click();
  }

  /** Agrees on the consent page; gives the words that were shown. */
  consent() {
    return this.try('consent', () => this.#consent());
  }

  async #consent() {
    const { page } = this;
    const button = page.locator('button[value=allow], [name=accept]').first();
    await button.waitFor();
    const shown = await page.locator('body').innerText();
    await this.picture('consent');
    await button.click();
    return shown;
  }

  /** The tokens that the Inspector keeps for the server. */
  async tokens() {
    const stored = await this.page.evaluate(() => Object.fromEntries(Object.entries(sessionStorage)));
    const found = Object.entries(stored).find(([name]) => name.endsWith('mcp_tokens'));
    return found && JSON.parse(found[1]);
  }

  /** Begins anew: without tokens, on the first page. */
  async forget() {
    const { page } = this;
    await page.evaluate(() => sessionStorage.clear());
    await page.goto(this.home);
    await page.getByText('Transport Type').waitFor();
  }

  /** What the browser shows after the authorization server has refused. */
  refusal() {
    return this.try('refusal', () => this.#refusal());
  }

  async #refusal() {
    const { page } = this;
    const refused = page.getByText(/invalid_scope|invalid scope|Invalid scopes|mcp:fail/i);
    await refused.first().waitFor();
    return `${page.url()}\n${await page.locator('body').innerText()}`;
  }

  /** Lists the tools; one of them is said to do `expected`. */
  listTools(expected = 'Greet a user by name') {
    return this.try('listTools', () => this.#list('Tools', expected));
  }

  /** Lists the resources; one of them has the name `expected`. */
  listResources(expected) {
    return this.try('listResources', () => this.#list('Resources', expected));
  }

  /** Lists the prompts; one of them is said to be `expected`. */
  listPrompts(expected) {
    return this.try('listPrompts', () => this.#list('Prompts', expected));
  }

  async #list(kind, expected) {
    const { page } = this;
    await page.getByRole('tab', { name: kind, exact: true }).click();
    await page.getByRole('button', { name: `List ${kind}` }).click();
    await this.#panel.getByText(expected).first().waitFor();
    return this.#panel.locator('span.truncate').allInnerTexts();
  }

  /** What stands below the chosen tab. */
  get #panel() {
    return this.page.locator('[role=tabpanel][data-state=active]');
  }

  /** Reads a resource by its name; gives its text as the page shows it. */
  readResource(name) {
    return this.try(`read-${name}`, () => this.#readResource(name));
  }

  async #readResource(name) {
    await this.#panel.locator('span.truncate', { hasText: name }).click();
    await this.#panel.getByRole('heading', { name }).waitFor();
    // A long text is cut off until somebody clicks at it.
    const text = this.#panel.locator('span', { hasText: /^text:$/ }).locator('xpath=following-sibling::pre');
    await text.click();
    await text.filter({ hasNotText: /\.\.\."$/ }).waitFor();
    return text.innerText();
  }

  /** Chooses a prompt by the end of its name, fills its arguments in and gives the message that the page shows. */
  getPrompt(name, values) {
    return this.try(`prompt-${name}`, () => this.#getPrompt(name, values));
  }

  async #getPrompt(name, values) {
    const { page } = this;
    await this.#panel.locator('span.truncate', { hasText: new RegExp(`${name}$`) }).click();
    await page.locator('h3', { hasText: new RegExp(`${name}$`) }).waitFor();
    for (const [argument, value] of Object.entries(values)) {
      const field = page.locator(`button[aria-controls=${argument}]`);
      await field.click();
      await page.getByPlaceholder(`Enter ${argument}`).fill(value);
      await page.keyboard.press('Escape');
      await field.filter({ hasText: value }).waitFor();
    }
    await page.getByRole('button', { name: 'Get Prompt' }).click();
    // What lies deep is folded until somebody clicks at it.
    await this.#panel.getByText('{ ... }').click();
    const text = this.#panel.locator('span', { hasText: /^text:$/ }).locator('xpath=following-sibling::pre');
    return text.innerText();
  }

  /** Chooses a tool by the end of its name, fills its numbers in and gives what the page says of the result. */
  callTool(name, numbers) {
    return this.try(`call-${name}`, () => this.#callTool(name, numbers));
  }

  async #callTool(name, numbers) {
    await this.#chooseTool(name);
    await this.#fillNumbers(numbers);
    await this.page.getByRole('button', { name: 'Run Tool' }).click();
    return this.#result();
  }

  async #chooseTool(name) {
    const { page } = this;
    await page.locator('span.truncate', { hasText: new RegExp(`${name}$`) }).first().click();
    await page.locator('h3', { hasText: new RegExp(`${name}$`) }).waitFor();
  }

  /** What the page says of the result of a call. */
  async #result() {
    const { page } = this;
    await page.getByText('Tool Result:').waitFor();
    await page.getByText(/Success|Error/).first().waitFor();
    const heading = page.locator('h4', { hasText: 'Tool Result:' });
    await heading.scrollIntoViewIfNeeded();
    const all = await heading.locator('..').innerText();
    return all.slice(all.indexOf('Tool Result:'));
  }

  /** Calls a tool that asks for something in mid-call; gives the question that the page shows. */
  callAskingTool(name) {
    return this.try(`call-${name}`, () => this.#callAskingTool(name));
  }

  async #callAskingTool(name) {
    await this.#chooseTool(name);
    await this.page.getByRole('button', { name: 'Run Tool' }).click();
    // The page turns to its questions by itself.
    const question = this.page.getByTestId('elicitation-request');
    await question.getByRole('button', { name: 'Submit' }).waitFor();
    return question.innerText();
  }

  /** Fills in the fields of a question, which have these titles. */
  fillForm(values) {
    return this.try('fillForm', () => this.#fillForm(values));
  }

  async #fillForm(values) {
    const question = this.page.getByTestId('elicitation-request');
    for (const [title, value] of Object.entries(values)) {
      const label = question.locator('label', { hasText: new RegExp(`^${title}\\*?$`) });
      const field = label.locator('..').locator('input, select');
      const isChoice = await field.evaluate((element) => element.tagName === 'SELECT');
      if (typeof value === 'boolean') await field.setChecked(value);
      else if (isChoice) await field.selectOption({ label: value });
      else await field.fill(value);
    }
  }

  /** Submits the form of a question that must not be submitted as it is; gives what the page says against it. */
  submitInvalid() {
    return this.try('submitInvalid', async () => {
      await this.#submit();
      return this.page.getByText('Validation Error').locator('..').innerText();
    });
  }

  /** Submits the form of a question; gives what the page says of the result of the tool that asked. */
  submit() {
    return this.try('submit', async () => {
      await this.#submit();
      return this.#result();
    });
  }

  async #submit() {
    await this.page.getByTestId('elicitation-request').getByRole('button', { name: 'Submit' }).click();
  }

  /** Choosing a tool sets its fields back, and the page may do so a moment after it shows them. */
  async #fillNumbers(numbers) {
    const { page } = this;
    const fields = Object.entries(numbers).map(([field, value]) => [page.locator(`#${field}`), String(value)]);
    const isFilled = async () => {
      for (const [field, value] of fields) if ((await field.inputValue()) !== value) return false;
      return true;
    };
    do {
      for (const [field, value] of fields) await field.fill(value);
      await page.waitForTimeout(200);
    } while (!(await isFilled()));
  }

  async #choose(trigger, option) {
    const { page } = this;
    await page.locator(trigger).click();
    await page.getByRole('option', { name: option, exact: true }).click();
  }
}

/** Makes a browser with this home trust a CA, as a person would in its settings. */
async function trust(home, certificate) {
  const database = join(home, '.pki', 'nssdb');
  mkdirSync(database, { recursive: true });
  for (const args of [['-N', '--empty-password'], ['-A', '-n', 'the CA of this test', '-t', 'C,,', '-i', certificate]]) {
    const { code, stderr } = await run('certutil', ['-d', `sql:${database}`, ...args]);
    if (code !== 0) throw new Error(`certutil: ${stderr}`);
  }
}
