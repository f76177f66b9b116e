// A person with a browser, scripted: opens an authorization URL, logs in, agrees, and says where the browser was sent to.
// Reads the pages' forms as they are, so it serves any authorization server whose pages work without JavaScript.
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const PATIENCE = 15;

/** The person refused nothing, and yet the browser did not come back to the client. */
export class Stuck extends Error {
  constructor(status, url, page) {
    super(`stopped at ${url.split('?')[0]} with ${status}: ${words(page)}`);
    this.status = status;
    this.page = page;
  }
}

/**
 * Follows an authorization URL to the client's redirect URI.
 * `pages`, if given, collects what was seen: { url, status, text, headers }.
 */
export async function authorize(url, { username = 'alice', password = 'alice', redirectUri, answer = 'allow', pages = [] }) {
  const jar = new Jar();
  let request = { url: String(url), method: 'GET' };
  for (let step = 0; step < PATIENCE; step += 1) {
    const response = await fetch(request.url, {
      method: request.method,
      body: request.body,
      headers: { Accept: 'text/html', 'Accept-Language': 'en', ...jar.header(request.url), ...request.headers },
      redirect: 'manual',
    });
    jar.keep(request.url, response);
    if (response.status >= 300 && response.status < 400) {
      const target = new URL(response.headers.get('location'), request.url);
      if (isAt(target, redirectUri)) return target;
      request = { url: target.href, method: 'GET' };
      continue;
    }
    const text = await response.text();
    pages.push({ url: request.url, status: response.status, text, headers: response.headers });
    const form = response.ok && findForm(text);
    if (!form) throw new Stuck(response.status, request.url, text);
    request = fill(form, request.url, { username, password, answer });
  }
  throw new Error(`gave up after ${PATIENCE} pages at ${request.url}`);
}

function isAt(target, redirectUri) {
  const expected = new URL(redirectUri);
  return target.origin === expected.origin && target.pathname === expected.pathname;
}

class Jar {
  #cookies = new Map();

  keep(url, response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const [name, ...value] = pair.split('=');
      const attribute = (wanted) => attributes.find((it) => it.toLowerCase().startsWith(wanted))?.split('=')[1];
      const { host, pathname } = new URL(url);
      const path = attribute('path=') ?? pathname.replace(/\/[^/]*$/, '') ?? '/';
      const gone = attribute('max-age=') === '0' || value.join('=') === '';
      const key = `${host} ${path} ${name}`;
      if (gone) this.#cookies.delete(key);
      else this.#cookies.set(key, { host, path, pair: `${name}=${value.join('=')}` });
    }
  }

  header(url) {
    const { host, pathname } = new URL(url);
    const fits = ({ host: h, path }) => h === host && (pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`));
    const pairs = [...this.#cookies.values()].filter(fits).map(({ pair }) => pair);
    return pairs.length ? { Cookie: pairs.join('; ') } : {};
  }
}

/** The form that a person would fill: one with a password, else the first that posts. */
function findForm(page) {
  const forms = [...page.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => {
    const fields = [...body.matchAll(/<(input|button)\b([^>]*)>/gi)].map(([, tag, attributes]) => {
      const type = (attributeOf(attributes, 'type') ?? (tag.toLowerCase() === 'button' ? 'submit' : 'text')).toLowerCase();
      return { type, name: attributeOf(attributes, 'name'), value: attributeOf(attributes, 'value') ?? '', id: attributeOf(attributes, 'id') };
    });
    return { method: (attributeOf(head, 'method') ?? 'get').toUpperCase(), action: attributeOf(head, 'action') ?? '', fields };
  });
  const posting = forms.filter((form) => form.method === 'POST');
  return posting.find((form) => form.fields.some((field) => field.type === 'password')) ?? posting[0];
}

function fill(form, url, { username, password, answer }) {
  const body = new URLSearchParams();
  for (const field of form.fields) {
    if (!field.name || ['submit', 'button', 'checkbox', 'radio', 'image'].includes(field.type)) continue;
    const value = field.type === 'password' ? password : /^(username|user|email)$/i.test(field.name) ? username : field.value;
    body.append(field.name, value);
  }
  const buttons = form.fields.filter((field) => field.type === 'submit');
  const says = (pattern) => buttons.find((button) => pattern.test(`${button.name} ${button.value}`));
  const isLogin = form.fields.some((field) => field.type === 'password');
  const button = isLogin ? says(/login|sign/i) ?? buttons[0] : answer === 'allow' ? says(/allow|accept|\byes\b/i) : says(/deny|cancel|\bno\b/i);
  if (button?.name) body.append(button.name, button.value);
  const target = new URL(form.action, url);
  return {
    url: target.href,
    method: 'POST',
    body,
    // What a browser would add by itself.
    headers: { Origin: new URL(url).origin, 'Sec-Fetch-Site': 'same-origin', 'Content-Type': 'application/x-www-form-urlencoded' },
  };
}

function attributeOf(attributes, name) {
  const found = attributes.match(new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`, 'i'));
  return found && unescape(found[1] ?? found[2] ?? found[3]);
}

function unescape(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    hex ? String.fromCodePoint(parseInt(hex, 16)) : decimal ? String.fromCodePoint(Number(decimal)) : named[name] ?? whole);
}

/** The words of a page, for messages. */
export function words(page) {
  const text = page.replace(/<(style|script|head)\b[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]+>/g, ' ');
  return unescape(text).replace(/\s+/g, ' ').trim().slice(0, 600);
}

/** Goes to the client. Some open the browser before they listen, since people are slower than this one. */
async function arrive(target) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetch(target);
    } catch (error) {
      if (error.cause?.code !== 'ECONNREFUSED' || attempt === PATIENCE) throw error;
      await pause(1000);
    }
  }
}

// As a program, for clients that open a browser: `node person.mjs URL` prints where the browser was sent to,
// `node person.mjs URL --follow` goes there, too, as a browser would.
if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await import('./hosts.mjs');
  const [url, follow] = process.argv.slice(2);
  try {
    const target = await authorize(url, { redirectUri: new URL(url).searchParams.get('redirect_uri') });
    console.log(target.href);
    if (follow === '--follow') await arrive(target);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
