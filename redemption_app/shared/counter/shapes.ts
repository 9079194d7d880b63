// What a signed document must look like before anything in it is believed. A field that we do not
// know is refused: it may be a condition that we would break.

/** Returns the value as what it is, or throws `Misshapen`. */
export type Shape<T> = (value: unknown) => T;
export type Of<S> = S extends Shape<infer T> ? T : never;

export class Misshapen extends Error {
  override name = "Misshapen";
}

export const text: Shape<string> = (value) => (typeof value === "string" ? value : wrong());
export const flag: Shape<boolean> = (value) => (typeof value === "boolean" ? value : wrong());

export function whole(least: number, most: number): Shape<number> {
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= least && value <= most ? value : wrong();
}

export function like(pattern: RegExp): Shape<string> {
  return (value) => (typeof value === "string" && pattern.test(value) ? value : wrong());
}

export function one<const T extends string | number>(...of: T[]): Shape<T> {
  return (value) => (of.includes(value as T) ? (value as T) : wrong());
}

export function maybe<T>(shape: Shape<T>): Shape<T | null> {
  return (value) => (value === null ? null : shape(value));
}

export function list<T>(shape: Shape<T>): Shape<T[]> {
  return (value) => (Array.isArray(value) ? value.map(shape) : wrong());
}

/** Every name must be there and no other; those in `more` may be missing. */
export function record<S extends Record<string, Shape<unknown>>, M extends Record<string, Shape<unknown>> = {}>(
  shapes: S,
  more?: M,
): Shape<{ [Name in keyof S]: Of<S[Name]> } & { [Name in keyof M]?: Of<M[Name]> }> {
  const every: Record<string, Shape<unknown>> = { ...more, ...shapes };
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong();
    const said = value as Record<string, unknown>;
    for (const name of Object.keys(shapes)) if (!Object.hasOwn(said, name)) wrong();
    const read: Record<string, unknown> = {};
    for (const [name, held] of Object.entries(said)) {
      if (!Object.hasOwn(every, name)) return wrong();
      read[name] = every[name]!(held);
    }
    return read as never;
  };
}

/** One of several records, told apart by their `kind`. */
export function kinds<S extends Record<string, Shape<unknown>>>(shapes: S): Shape<Of<S[keyof S]>> {
  return (value) => {
    const kind = (value as { kind?: unknown } | null)?.kind;
    if (typeof kind !== "string" || !Object.hasOwn(shapes, kind)) return wrong();
    return shapes[kind]!(value) as never;
  };
}

function wrong(): never {
  throw new Misshapen("not of a shape that this version understands");
}
