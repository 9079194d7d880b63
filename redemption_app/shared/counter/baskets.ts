// What the customer is about to pay for.

/** One line of a till receipt. */
export interface Line {
  product: string;
  category?: string | null;
  quantity: number;
  unit_price_minor: number;
}

/** Lines, or a total alone where the till knows no more. With lines the total is ours to add up. */
export interface Basket {
  currency: string;
  lines?: Line[];
  total_minor?: number | null;
}

/** What one line of the basket is reduced by; `line` counts from 0. */
export interface LineDiscount {
  line: number;
  discount_minor: number;
}

export function amountOfLine(line: Line): number {
  return line.quantity * line.unit_price_minor;
}

export function linesOf(basket: Basket): Line[] {
  return basket.lines ?? [];
}

export function amountOf(basket: Basket): number {
  const lines = linesOf(basket);
  return lines.length ? lines.reduce((sum, line) => sum + amountOfLine(line), 0) : (basket.total_minor ?? 0);
}
