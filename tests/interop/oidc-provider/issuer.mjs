// An authorization server for the interop suite: panva/node-oidc-provider with one client, on loopback, with throw-away keys.
//
//   node issuer.mjs PUBLIC_URL API_URL
//
// PUBLIC_URL is its name: what it calls itself in tokens and metadata. A token for API_URL that is signed by ALG comes to whoever asks for
// the resource API_URL + ALG. Once it listens it prints `LISTENING port`. It ends when its standard input does, so it never outlives
// whoever started it.
//
// Its keys are turned over by these, which are no part of OAuth:
//   POST /_control/publish?alg=ALG           a new key stands in the set, and signs nothing yet; the answer is its kid
//   POST /_control/sign-with?alg=ALG&kid=K   from now on this key signs
//   POST /_control/withdraw?kid=K            the key leaves the set
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const [publicUrl, apiUrl] = process.argv.slice(2);
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const SCOPES = ['things:read', 'things:write'];
const CLIENT = {
  client_id: 'machine', client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
};
const OTHER_API = 'https://other.example/';

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
function resource(indicator) {
  for (const audience of [apiUrl, OTHER_API]) {
    const alg = indicator.startsWith(audience) && indicator.slice(audience.length);
    if (signing.has(alg)) {
      const sign = { alg, kid: signing.get(alg) };
      return { scope: SCOPES.join(' '), audience, accessTokenFormat: 'jwt', accessTokenTTL: 3600, jwt: { sign } };
    }
  }
  throw new Error(`no such resource: ${indicator}`);
}

let answer; // The provider takes its keys when it is made, so each change of the set makes another.
function rebuild() {
  const provider = new Provider(publicUrl, {
    jwks: { keys: structuredClone(keys) },
    clients: [CLIENT],
    scopes: SCOPES,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: (_context, indicator) => resource(indicator) },
    },
  });
  answer = provider.callback();
}

async function control(action, query) {
  const [alg, kid] = [query.get('alg'), query.get('kid')];
  switch (action) {
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

for (const alg of ALGORITHMS) signing.set(alg, await publish(alg));
rebuild();

const server = createServer(async (request, response) => {
  const url = new URL(request.url, publicUrl);
  const [, action] = url.pathname.match(/^\/_control\/(.*)$/) ?? [];
  if (action === undefined) return answer(request, response);
  try {
    return response.end(await control(action, url.searchParams));
  } catch (error) {
    return response.writeHead(400).end(String(error));
  }
});
server.listen(0, '127.0.0.1', () => console.log(`LISTENING ${server.address().port}`));
process.stdin.resume().on('end', () => process.exit(0));
