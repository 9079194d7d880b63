// Requests signed by the key of this phone or terminal: HTTP Message Signatures (RFC 9421), in the
// one form that the server takes (docs/decisions/0020-signed-requests.md).

import { base64, base64url, sha256, utf8 } from "../bytes.ts";
import { signed } from "../device_key.ts";

export interface Signer {
  /** The id of the wallet or terminal that this key belongs to. */
  id: string;
  key: CryptoKeyPair;
}

/** Return the request with its signature. Its body is read whole. */
export async function withSignature(request: Request, signer: Signer, now: number): Promise<Request> {
  const url = new URL(request.url);
  const body = new Uint8Array(await request.clone().arrayBuffer());
  const headers = new Headers(request.headers);
  const covered: [name: string, value: string][] = [
    ["@method", request.method],
    ["@path", url.pathname],
  ];
  if (url.search) covered.push(["@query", url.search]);
  if (body.length) {
    const digest = `sha-256=:${base64(await sha256(body))}:`;
    headers.set("Content-Digest", digest);
    covered.push(["content-digest", digest]);
  }
  const shift = headers.get("Counterfoil-Shift");
  if (shift) covered.push(["counterfoil-shift", shift]);
  const parameters = said(covered.map(([name]) => name), signer.id, now);
  const signature = await signed(signer.key, utf8(base(covered, parameters)));
  headers.set("Signature-Input", `counterfoil=${parameters}`);
  headers.set("Signature", `counterfoil=:${base64(signature)}:`);
  return new Request(request, body.length ? { headers, body } : { headers });
}

function said(names: string[], keyid: string, now: number): string {
  const nonce = base64url(crypto.getRandomValues(new Uint8Array(18)));
  const list = names.map((name) => `"${name}"`).join(" ");
  const created = Math.floor(now / 1000);
  return `(${list});created=${created};keyid="${keyid}";alg="ecdsa-p256-sha256";nonce="${nonce}";tag="counterfoil"`;
}

/** Return what is signed (RFC 9421 2.5). */
function base(covered: [string, string][], parameters: string): string {
  const lines = covered.map(([name, value]) => `"${name}": ${value}`);
  return [...lines, `"@signature-params": ${parameters}`].join("\n");
}
