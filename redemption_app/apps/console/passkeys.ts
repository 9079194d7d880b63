// Passkeys, as this browser makes and uses them. The server's options go in as they are.

interface Parsing {
  parseRequestOptionsFromJSON(options: unknown): PublicKeyCredentialRequestOptions;
  parseCreationOptionsFromJSON(options: unknown): PublicKeyCredentialCreationOptions;
}

const parsing = globalThis.PublicKeyCredential as unknown as Parsing | undefined;

export const hasPasskeys = typeof parsing?.parseRequestOptionsFromJSON === "function";

/** Let the person choose one of their passkeys. Throws where they choose none. */
export async function usePasskey<Signed>(options: unknown): Promise<Signed> {
  const publicKey = parsing!.parseRequestOptionsFromJSON(options);
  return toJson(await navigator.credentials.get({ publicKey }));
}

/** Make a passkey on this device. Throws where the person would rather not. */
export async function makePasskey<Made>(options: unknown): Promise<Made> {
  const publicKey = parsing!.parseCreationOptionsFromJSON(options);
  return toJson(await navigator.credentials.create({ publicKey }));
}

function toJson<Answer>(credential: Credential | null): Answer {
  return (credential as PublicKeyCredential).toJSON() as Answer;
}
