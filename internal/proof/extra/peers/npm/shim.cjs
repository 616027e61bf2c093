// Loaded before an npm tool. Requests to the owner's hosts go to our endpoint on
// loopback; any other is refused. (The network that the tool runs in has nothing
// but loopback anyway.)
'use strict';
const endpoint = new URL(process.env.PEER_ISSUER);
const owners = new Set(['platform.claude.com', 'console.anthropic.com', 'api.anthropic.com']);
const send = globalThis.fetch;

globalThis.fetch = function fetch(input, init) {
  const from = input instanceof Request ? input : new Request(input, init);
  const url = new URL(from.url);
  if (owners.has(url.hostname)) {
    url.protocol = endpoint.protocol;
    url.host = endpoint.host;
  }
  if (url.origin !== endpoint.origin) {
    return Promise.reject(new TypeError(`the proof sends nothing to ${url.origin}`));
  }
  if (input instanceof Request) return send(new Request(url, input), init);
  return send(url, init);
};
