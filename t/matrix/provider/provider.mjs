// The OpenID provider of test_provider.py: node's oidc-provider over HTTPS, with client credentials and resource indicators for JWT access tokens, and
// with the authorization code flow for the approvers' page: whoever comes signs in under any name, in the package's own forms.
//
//   node provider.mjs PORT CERT KEY REDIRECT-URI
//
// Commands come on standard input, one JSON value a line; each is answered with the line "ready":
//   {"keys": [["ES256", "first"], ...]}   publish these; keys that are new are made. The first one that fits an algorithm signs.
//   {"mode": "ok" | "down" | "hang" | "rubbish"}   how the keys' address answers
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import readline from 'node:readline';
import Provider from 'oidc-provider';

const [port, cert, key, redirect] = process.argv.slice(2);
const issuer = `https://127.0.0.1:${port}`;
const made = new Map();
const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
let handle = null;
let mode = 'ok';

function jwk(alg, kid) {
  if (!made.has(kid)) {
    const pair = alg.startsWith('ES') ? crypto.generateKeyPairSync('ec', { namedCurve: curves[alg] })
      : alg === 'EdDSA' ? crypto.generateKeyPairSync('ed25519') : crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
    made.set(kid, { ...pair.privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  }
  return made.get(kid);
}

function provider(keys) {
  const p = new Provider(issuer, {
    jwks: { keys },
    clients: [
      ...['agent', 'service'].map((id) => ({
        client_id: id, client_secret: 'a secret of the test', grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
      })),
      { client_id: 'page', token_endpoint_auth_method: 'none', redirect_uris: [redirect], id_token_signed_response_alg: 'ES256' },
      { client_id: 'page-basic', client_secret: 'a secret: + of % the page', redirect_uris: [redirect] },
      {
        client_id: 'page-post', client_secret: 'a secret: + of % the page', token_endpoint_auth_method: 'client_secret_post', redirect_uris: [redirect],
        id_token_signed_response_alg: 'PS256',
      },
    ],
    pkce: { required: () => true, methods: ['S256'] },
    conformIdTokenClaims: false,
    claims: { openid: ['sub', 'realm'] },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, realm: { roles: id.startsWith('dba') ? ['dbas'] : [] } }) }),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'db:use', audience: 'gatehouse', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: resource.split('/').pop() } },
        }),
      },
    },
    extraTokenClaims: (ctx, token) => (token.clientId === 'agent' ? { realm: { roles: ['testers'] } } : {}),
  });
  return p.callback();
}

https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, (req, res) => {
  if (mode !== 'ok' && req.method === 'GET') {
    if (mode === 'down') req.socket.destroy();
    if (mode === 'rubbish') res.end('<html>We will be back soon</html>');
    return; // and "hang" says nothing
  }
  handle(req, res);
}).listen(Number(port), '127.0.0.1', () => {
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const command = JSON.parse(line);
    if (command.keys) handle = provider(command.keys.map(([alg, kid]) => jwk(alg, kid)));
    if (command.mode) mode = command.mode;
    process.stdout.write('ready\n');
  }).on('close', () => process.exit(0));
});
