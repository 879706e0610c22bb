// An authorization server for the interop suite: panva/node-oidc-provider, on loopback, with throw-away keys.
//
//   node issuer.mjs PUBLIC_URL API_URL PKI
//
// PUBLIC_URL is its name: what it calls itself in tokens and metadata. A token for API_URL that is signed by ALG comes to whoever asks for
// the resource API_URL + ALG, and an opaque one for API_URL + `opaque`. Once it listens it prints `LISTENING port`. It ends when its
// standard input does, so it never outlives whoever started it. The folder PKI holds `ca.crt`, `server.crt`, `server.key`, and what its
// clients prove themselves by: `self.crt`, and `client.key`, which signs. It listens with TLS too, where its metadata says, for clients
// that show a certificate. People log in by its own forms, with any name and any password. A client that acts for one gets a JWT for
// API_URL when it asks for the resource API_URL itself.
//
// These are no part of OAuth. The first registers a client, and the others turn the keys over:
//   POST /_control/client                    its metadata (RFC 7591) is the body, and with them the lifetime of its access tokens
//   POST /_control/publish?alg=ALG           a new key stands in the set, and signs nothing yet; the answer is its kid
//   POST /_control/sign-with?alg=ALG&kid=K   from now on this key signs
//   POST /_control/withdraw?kid=K            the key leaves the set
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const [publicUrl, apiUrl, pki] = process.argv.slice(2);
const file = (name) => readFileSync(join(pki, name));
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const SCOPES = ['things:read', 'things:write'];
const LIFETIME = 3600;
const OTHER_API = 'https://other.example/';

// The API asks as these, one for each way to prove it.
function api(name, method, more) {
  return { client_id: name, token_endpoint_auth_method: method, grant_types: [], redirect_uris: [], response_types: [], ...more };
}
const publicJwk = (key, more) => ({ ...key.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', ...more });
const own = new X509Certificate(file('self.crt'));
const CLIENTS = [
  { client_id: 'machine', client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
  api('api-basic', 'client_secret_basic', { client_secret: 'secret' }),
  api('api-odd', 'client_secret_basic', { client_secret: 'p@ss:w/rd+%= x' }),
  api('api-post', 'client_secret_post', { client_secret: 'secret' }),
  api('api-secret-jwt', 'client_secret_jwt', { client_secret: 'a secret of thirty-two octets or more' }),
  api('api-key', 'private_key_jwt', {
    token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [publicJwk(createPublicKey(createPrivateKey(file('client.key'))), { kid: 'api-1' })] },
  }),
  api('api-certificate', 'tls_client_auth', { tls_client_auth_subject_dn: 'CN=api' }),
  api('api-own-certificate', 'self_signed_tls_client_auth', {
    jwks: { keys: [publicJwk(own.publicKey, { x5c: [own.raw.toString('base64')] })] },
  }),
  api('api-signed', 'client_secret_basic', { client_secret: 'secret', introspection_signed_response_alg: 'ES256' }),
];

const lifetimes = new Map();
let keys = [];
let made = 0;
const signing = new Map();

async function publish(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  made += 1;
  const kid = `${alg}-${made}`;
  const { kty, crv, n, e, d, p, q, dp, dq, qi, x, y } = await exportJWK(privateKey);
  keys.push({ kty, crv, n, e, d, p, q, dp, dq, qi, x, y, kid, alg, use: 'sig' });
  return kid;
}

// What a token is like depends on the resource that it is asked for (RFC 8707).
function resource(indicator, { clientId }) {
  if (indicator === apiUrl) {
    const sign = { alg: 'ES256', kid: signing.get('ES256') };
    const lifetime = lifetimes.get(clientId) ?? LIFETIME;
    return { scope: SCOPES.join(' '), audience: apiUrl, accessTokenFormat: 'jwt', accessTokenTTL: lifetime, jwt: { sign } };
  }
  for (const audience of [apiUrl, OTHER_API]) {
    const alg = indicator.startsWith(audience) && indicator.slice(audience.length);
    if (alg === 'opaque') return { scope: SCOPES.join(' '), audience, accessTokenFormat: 'opaque', accessTokenTTL: LIFETIME };
    if (signing.has(alg)) {
      const sign = { alg, kid: signing.get(alg) };
      return { scope: SCOPES.join(' '), audience, accessTokenFormat: 'jwt', accessTokenTTL: LIFETIME, jwt: { sign } };
    }
  }
  throw new Error(`no such resource: ${indicator}`);
}

const person = (sub) => `${sub.charAt(0).toUpperCase()}${sub.slice(1)} Example`;
const certificate = (socket) => socket.getPeerCertificate?.()?.raw;

let answer; // The provider takes its keys when it is made, so each change of the set makes another.
function rebuild() {
  const provider = new Provider(publicUrl, {
    jwks: { keys: structuredClone(keys) },
    clients: CLIENTS,
    scopes: [...SCOPES, 'openid', 'offline_access'],
    // A token for the API says nothing at the userinfo endpoint, so the ID token has the name.
    claims: { openid: ['sub'], profile: ['name'] },
    conformIdTokenClaims: false,
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, name: person(sub) }) }),
    pkce: { required: () => true },
    // Its own dispatcher refuses loopback, and there are those that are told of a logout.
    fetch: (url, { dispatcher: _guard, ...options }) => fetch(url, options),
    issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    clientAuthMethods: [...new Set(CLIENTS.map((client) => client.token_endpoint_auth_method ?? 'client_secret_basic'))],
    enabledJWA: { introspectionSigningAlgValues: ALGORITHMS },
    discovery: { mtls_endpoint_aliases: { introspection_endpoint: `https://127.0.0.1:${tls.address().port}/token/introspection` } },
    // It tells programs of logouts, and would not reach loopback.
    fetch: (url, { dispatcher: _confined, ...options }) => fetch(url, options),
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
      mTLS: {
        enabled: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
        getCertificate: ({ socket }) => certificate(socket) && new X509Certificate(certificate(socket)),
        certificateAuthorized: ({ socket }) => socket.authorized === true,
        certificateSubjectMatches: ({ socket }, _property, expected) => `CN=${socket.getPeerCertificate().subject.CN}` === expected,
      },
      resourceIndicators: { enabled: true, getResourceServerInfo: (_context, indicator, client) => resource(indicator, client) },
    },
  });
  answer = provider.callback();
}

async function control(action, query, body) {
  const [alg, kid] = [query.get('alg'), query.get('kid')];
  switch (action) {
    case 'client': {
      const { lifetime, ...metadata } = JSON.parse(body);
      const others = CLIENTS.filter((client) => client.client_id !== metadata.client_id);
      CLIENTS.splice(0, CLIENTS.length, ...others, metadata);
      lifetimes.set(metadata.client_id, lifetime);
      rebuild();
      return metadata.client_id;
    }
    case 'publish': {
      const fresh = await publish(alg);
      rebuild();
      return fresh;
    }
    case 'sign-with':
      signing.set(alg, kid);
      return kid;
    case 'withdraw':
      keys = keys.filter((key) => key.kid !== kid);
      rebuild();
      return kid;
    default:
      throw new Error(`no such action: ${action}`);
  }
}

async function handle(request, response) {
  const url = new URL(request.url, publicUrl);
  const [, action] = url.pathname.match(/^\/_control\/(.*)$/) ?? [];
  if (action === undefined) return answer(request, response);
  try {
    return response.end(await control(action, url.searchParams, await text(request)));
  } catch (error) {
    return response.writeHead(400).end(String(error));
  }
}

const server = createServer(handle);
const tls = createTlsServer(
  { key: file('server.key'), cert: file('server.crt'), ca: file('ca.crt'), requestCert: true, rejectUnauthorized: false }, handle,
);
const listen = (one) => new Promise((listens) => { one.listen(0, '127.0.0.1', listens); });
await listen(tls);
for (const alg of ALGORITHMS) signing.set(alg, await publish(alg));
rebuild();
await listen(server);
console.log(`LISTENING ${server.address().port}`);
process.stdin.resume().on('end', () => process.exit(0));
