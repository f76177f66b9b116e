// A proxy on this machine for programs that have no token: it adds one to each request and changes nothing else. It flows both ways at
// once, so event streams do, too.
import { createServer, request } from 'node:http';

import { afterwards } from './processes.mjs';

/** What a program at the proxy's own address means is the server behind it. What it calls otherwise stays as it is. */
function passedOn(raw, here, there, token) {
  const passed = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at].toLowerCase();
    const value = raw[at + 1];
    if (name === 'authorization') continue;
    if (name === 'host') passed.push(raw[at], value === here ? there : value);
    else if (name === 'origin') passed.push(raw[at], value === `http://${here}` ? `http://${there}` : value);
    else passed.push(raw[at], value);
  }
  return [...passed, 'Authorization', `Bearer ${token}`];
}

/** The URL at which `url` is to be had with this token, until the test is over. `cuts` is asked with each piece of an answer whether the connection breaks after it. */
export async function withToken(t, url, token, { cuts = () => false } = {}) {
  const { hostname, port, host: there, pathname } = new URL(url);
  const server = createServer((received, response) => {
    const here = `127.0.0.1:${server.address().port}`;
    const headers = passedOn(received.rawHeaders, here, there, token);
    const sent = request({ hostname, port, method: received.method, path: received.url, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
      response.flushHeaders();
      answer.on('data', (piece) => {
        if (cuts(received, piece)) setImmediate(() => response.destroy());
      });
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    sent.on('error', () => response.destroy());
    response.on('close', () => sent.destroy());
    received.pipe(sent);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(t, () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}${pathname}`;
}
