// Where a browser has Trusted Types, only this policy may turn a text into a script's address, and
// only for the scripts that the build has made.

interface Policy {
  createScriptURL(url: string): string;
}

interface Factory {
  createPolicy(name: string, rules: Policy): Policy;
}

const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes;

const policy = factory?.createPolicy("counterfoil", {
  createScriptURL(url) {
    if (new URL(url, location.href).origin !== location.origin) {
      throw new TypeError(`not a script of ours: ${url}`);
    }
    return url;
  },
});

/** Return the address of one of our own scripts, as `Worker` and `register` want it. */
export function script(url: URL | string): string {
  return policy ? policy.createScriptURL(String(url)) : String(url);
}
