// An identity provider as companies have one: oidc-provider, with three people and a program.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

export const AUDIENCE = "https://node.example.org";
export const CLIENT = { client_id: "console", client_secret: "the secret of the console" };
const PROGRAM = { client_id: "program", client_secret: "the secret of the program" };
const ROLES = { ann: ["operators"], carl: ["clerks"], nina: ["guests"], program: ["clerks"] };

export class IdentityProvider {
  /** For the console at this address. */
  constructor(console) {
    this.console = console;
    this.port = 0;
    this.keys = [key("first")];
  }

  get issuer() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    this.server = createServer((request, response) => this.answer(request, response));
    await new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.answer = this.provider().callback();
    return this;
  }

  /** Nobody answers here any more, until it is started again. */
  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** Signs with another key from now on, and publishes the earlier one no more. */
  rotate() {
    this.keys = [key(`rotated-${Date.now()}`)];
    this.answer = this.provider().callback();
  }

  /** An access token for a program. */
  async token(resource = AUDIENCE) {
    const response = await fetch(`${this.issuer}/token`, {
      method: "POST",
      body: new URLSearchParams({ grant_type: "client_credentials", resource, ...PROGRAM }),
    });
    return (await response.json()).access_token;
  }

  provider() {
    return new Provider(this.issuer, {
      clients: [
        { ...CLIENT, redirect_uris: [`${this.console}/api/sign-in/callback`], post_logout_redirect_uris: [`${this.console}/`] },
        { ...PROGRAM, redirect_uris: [], response_types: [], grant_types: ["client_credentials"], token_endpoint_auth_method: "client_secret_post" },
      ],
      jwks: { keys: this.keys },
      cookies: { keys: ["a key for cookies"] },
      claims: { openid: ["sub"], profile: ["preferred_username", "roles"] },
      pkce: { required: () => true },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, roles: ROLES[id] ?? [] }) }),
      extraTokenClaims: (_, { clientId }) => ({ roles: ROLES[clientId] ?? [] }),
      features: {
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_, resource) => ({ audience: resource, scope: "", accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } }),
        },
      },
    });
  }
}

function key(kid) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
}
