// The code a person types when no camera helps: `XXXX-XXXX-XXXX`, online only. Eleven symbols and a
// check symbol from the same 32, by ISO 7064 MOD 37,36 with that alphabet.

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's: no I, L, O, U
const SYMBOLS = new RegExp(`^[${ALPHABET}]{12}$`);
const LONGEST = 40;

/** Return what was meant: upper case, O as 0, I and L as 1, no spaces, no hyphens, single width. */
export function normalised(text: string): string {
  if ([...text].length > LONGEST) return "";
  return text.normalize("NFKC").toUpperCase().replaceAll("O", "0").replace(/[IL]/g, "1").replace(/[ -]/g, "");
}

/** Could this be a code of ours? Says nothing about whether it was ever given out. */
export function isShortCode(text: string): boolean {
  const code = normalised(text);
  return SYMBOLS.test(code) && checkOf(code) === 1;
}

function checkOf(code: string): number {
  const modulus = ALPHABET.length;
  let check = modulus / 2;
  for (const symbol of code) {
    check = ((((check || modulus) * 2) % (modulus + 1)) + ALPHABET.indexOf(symbol)) % modulus;
  }
  return check;
}
