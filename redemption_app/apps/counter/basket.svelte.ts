// What the customer pays for, as far as the cashier tells: an amount, or items; and the receipt that
// several coupons share.

import type { Basket, Line } from "../../shared/counter/baskets.ts";
import places from "../../shared/places.json" with { type: "json" };

const KEPT_AS = "counterfoil counter currency";

export interface TypedLine {
  product: string;
  category: string;
  quantity: string;
  price: string;
}

/** Something in the basket is not what it should be, such as an amount with letters in it. */
export class NoBasket extends Error {
  override name = "NoBasket";
}

class Sale {
  total = $state("");
  currency = $state(localStorage.getItem(KEPT_AS) ?? "");
  receipt = $state("");
  lines = $state<TypedLine[]>([]);

  /** The currency is known before anybody types: it is that of the coupons here. */
  suppose(currency: string): void {
    if (!this.currency) this.currency = currency;
  }

  addLine(): void {
    this.lines.push({ product: "", category: "", quantity: "1", price: "" });
  }

  removeLine(line: TypedLine): void {
    this.lines = this.lines.filter((each) => each !== line);
  }

  /** Begin with the next customer. A receipt's number says that there is more to come. */
  accepted(): void {
    if (!this.receipt) this.clear();
  }

  clear(): void {
    [this.total, this.receipt, this.lines] = ["", "", []];
  }

  /** Is there anything that the next customer must not inherit? */
  get isBegun(): boolean {
    return this.total !== "" || this.receipt !== "" || this.lines.length > 0;
  }

  /** What the items come to, in minor units; null while one of them is not yet whole. */
  get sumMinor(): number | null {
    try {
      return linesIn(this.lines, this.currency).reduce((sum, line) => sum + line.quantity * line.unit_price_minor, 0);
    } catch {
      return null;
    }
  }

  get orderRef(): string | null {
    return this.receipt.trim() || null;
  }

  /** Return the basket, or null where the cashier has told nothing. Throws `NoBasket`. */
  told(): Basket | null {
    const currency = this.currency.trim().toUpperCase();
    if (this.lines.length) {
      this.#keep(currency);
      return { currency, lines: linesIn(this.lines, currency) };
    }
    const total = minorUnits(this.total, currency);
    if (total === null) return null;
    this.#keep(currency);
    return { currency, total_minor: total };
  }

  #keep(currency: string): void {
    if (!/^[A-Z]{3}$/.test(currency)) throw new NoBasket("currency");
    localStorage.setItem(KEPT_AS, currency);
  }
}

export const sale = new Sale();

function linesIn(lines: readonly TypedLine[], currency: string): Line[] {
  return lines.map(({ product, category, quantity, price }) => {
    const unitPrice = minorUnits(price, currency);
    if (!product.trim() || !/^[1-9]\d{0,4}$/.test(quantity.trim()) || unitPrice === null) throw new NoBasket("lines");
    return {
      product: product.trim(),
      ...(category.trim() && { category: category.trim() }),
      quantity: Number(quantity),
      unit_price_minor: unitPrice,
    };
  });
}

/** Return an amount in whole minor units; null if none is given. Throws `NoBasket`. */
export function minorUnits(text: string, currency: string): number | null {
  const amount = text.trim().replace(",", ".");
  if (!amount) return null;
  const digits = (places as Record<string, number>)[currency.trim().toUpperCase()] ?? 2;
  const found = /^(\d{1,10})(?:\.(\d*))?$/.exec(amount);
  const rest = found?.[2] ?? "";
  if (!found || rest.length > digits) throw new NoBasket("total");
  return Number(found[1] + rest.padEnd(digits, "0"));
}
