// How this counter likes to work. It is this device's own business, and no secret.

const KEPT_AS = "counterfoil counter settings";

const FIRST = {
  looksFirst: false, // show what a coupon is worth, and wait for a yes
  sounds: true,
  vibrates: true,
  patienceMs: 2_000, // so long a cashier waits for the server
};

export type Settings = typeof FIRST;

class Kept {
  now = $state<Settings>({ ...FIRST, ...read() });

  set<Name extends keyof Settings>(name: Name, value: Settings[Name]): void {
    this.now[name] = value;
    localStorage.setItem(KEPT_AS, JSON.stringify(this.now));
  }
}

function read(): Partial<Settings> {
  try {
    return JSON.parse(localStorage.getItem(KEPT_AS) ?? "{}") as Partial<Settings>;
  } catch {
    return {};
  }
}

export const settings = new Kept();
