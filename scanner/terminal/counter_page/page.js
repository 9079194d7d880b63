// The counter's page. Every text goes in as text; nothing comes from anywhere but this machine.
"use strict";

const at = (id) => document.getElementById(id);
const form = at("scan");
const code = at("code");
const verdict = at("verdict");
const seat = at("seat");
const rows = at("rows");

const WORDS = {
  en: {
    online: "Online",
    offline: "No network",
    alone: "No network: works alone until ",
    hub: "hub",
    unsent: (many) => `${many} not sent yet`,
    clock: "This terminal's clock is wrong",
    amount: "Enter the amount as 12.50",
    quantity: "Enter how many, as 2",
    product: "Enter the product",
    pin: "A PIN has 4 to 8 digits",
    choose: "Choose your name",
  },
  zh: {
    online: "已联网",
    offline: "无网络",
    alone: "无网络，可离线核销至",
    hub: "主机",
    unsent: (many) => `${many}条记录待上传`,
    clock: "本终端时间不准",
    amount: "请按12.50的格式输入金额",
    quantity: "请输入数量，例如2",
    product: "请输入商品",
    pin: "个人识别码为4至8位数字",
    choose: "请选择姓名",
  },
};

let language = navigator.language.startsWith("zh") ? "zh" : "en";
let known = null; // the number of the newest screen
let shown = null;
let standing = null;
let isBusy = false;
let refused = null; // why nobody has signed in

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = code.value.trim();
  if (!text || isBusy) {
    hide();
    return;
  }
  const paid = paidFor();
  if (!form.reportValidity()) {
    return;
  }
  isBusy = true;
  form.setAttribute("aria-busy", "true");
  code.value = "";
  try {
    const cashier = standing?.cashiers.length ? null : at("cashier").value.trim() || null;
    const order_ref = at("receipt").value.trim() || null;
    take(await post("scans", { code: text, ...paid, order_ref, cashier }));
  } catch {
    code.value = text; // this program was stopped: nothing was lost, nothing was redeemed
  } finally {
    isBusy = false;
    form.removeAttribute("aria-busy");
  }
});

/** Return what is being paid for: the items where there are some, else the amount. */
function paidFor() {
  const words = WORDS[language];
  const currency = at("currency").value.trim().toUpperCase() || null;
  const total_minor = minorUnits(at("total").value, currency);
  at("total").setCustomValidity(total_minor === undefined ? words.amount : "");
  const lines = [...rows.children].map((row) => {
    const [product, category, quantity, price] = fieldsOf(row);
    const unit_price_minor = minorUnits(price.value, currency) ?? undefined;
    product.setCustomValidity(product.value.trim() ? "" : words.product);
    quantity.setCustomValidity(/^[1-9]\d{0,4}$/.test(quantity.value.trim()) ? "" : words.quantity);
    price.setCustomValidity(unit_price_minor === undefined ? words.amount : "");
    return {
      product: product.value.trim(),
      category: category.value.trim() || null,
      quantity: Number(quantity.value),
      unit_price_minor,
    };
  });
  return lines.length ? { basket: { currency, lines } } : { total_minor, currency };
}

function fieldsOf(row) {
  return ["product", "category", "quantity", "price"].map((name) => row.querySelector(`[name=${name}]`));
}

async function post(name, body) {
  const headers = { "Content-Type": "application/json" };
  return (await fetch(name, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

form.addEventListener("input", (event) => {
  event.target.setCustomValidity("");
  addUp();
});

// The items of a basket.

at("add").addEventListener("click", () => {
  rows.append(at("row").content.cloneNode(true));
  addUp();
  draw();
  fieldsOf(rows.lastElementChild)[0].focus();
});

rows.addEventListener("click", (event) => {
  const row = event.target.closest(".remove")?.closest(".row");
  if (row) {
    row.remove();
    addUp();
    code.focus();
  }
});

// Enter goes on to the next field: a wedge scanner may read the products as well.
form.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key !== "Enter" || field.tagName !== "INPUT" || field === code) {
    return;
  }
  event.preventDefault();
  if (/^CP\d[A-Z]/.test(field.value)) {
    code.value = field.value; // a coupon that was scanned into another field
    field.value = "";
    addUp();
    form.requestSubmit();
  } else if (field.name === "product") {
    field.closest(".row").querySelector("[name=price]").focus();
  } else {
    code.focus();
  }
});

/** Keep the amount right: with items it is their sum, and nobody types it. */
function addUp() {
  const total = at("total");
  const has_lines = rows.childElementCount > 0;
  if (has_lines) {
    const currency = at("currency").value.trim().toUpperCase();
    const sum = [...rows.children].reduce((sum, row) => {
      const [, , quantity, price] = fieldsOf(row);
      return sum + Number(quantity.value) * (minorUnits(price.value, currency) ?? NaN);
    }, 0);
    total.value = Number.isSafeInteger(sum) ? inMajor(sum, currency) : "";
  } else if (total.readOnly) {
    total.value = "";
  }
  total.readOnly = has_lines;
  total.setCustomValidity("");
}

function startAnew() {
  rows.replaceChildren();
  addUp();
  at("total").value = "";
  at("receipt").value = "";
}

// Who is at the counter.

seat.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [cashier_id, pin] = [at("whose").value, at("pin").value];
  at("pin").setCustomValidity(/^\d{4,8}$/.test(pin) ? "" : WORDS[language].pin);
  if (!seat.reportValidity() || isBusy) {
    at("pin").value = "";
    return;
  }
  isBusy = true;
  at("pin").value = "";
  try {
    const news = await post("seat", { cashier_id, pin });
    refused = news.screen;
    standing = news.standing;
    at("whose").value = refused ? cashier_id : "";
    if (!refused) {
      startAnew();
    }
  } catch {
    // this program was stopped; the next look says so
  } finally {
    isBusy = false;
    draw();
    focus();
  }
});

at("pin").addEventListener("input", () => at("pin").setCustomValidity(""));

at("leave").addEventListener("click", async () => {
  standing = (await post("seat-ends", {})).standing;
  hide();
  draw();
  focus();
});

at("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  draw();
  focus();
});

at("next").addEventListener("click", () => {
  if (shown?.colour !== "amber") {
    startAnew(); // the next customer has another basket
  }
});

/** Put the cursor where the next thing is typed. */
function focus() {
  if (!seat.hidden) {
    (at("whose").value ? at("pin") : at("whose")).focus();
  } else {
    code.focus();
  }
}

// A wedge scanner types wherever the focus is: it must always be where it belongs.
verdict.addEventListener("click", hide);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    hide();
  } else if (!verdict.hidden && event.key.length === 1) {
    focus();
  }
});
window.addEventListener("focus", focus);

function hide() {
  verdict.hidden = true;
  shown = null;
  focus();
}

/** Return an amount in whole minor units; null if none is given, undefined if it is no amount. */
function minorUnits(text, currency) {
  const amount = text.trim().replace(",", ".");
  if (!amount) {
    return null;
  }
  const places = placesOf(currency);
  if (places === undefined) {
    return undefined;
  }
  const found = /^(\d{1,10})(?:\.(\d+))?$/.exec(amount);
  if (!found || (found[2] ?? "").length > places) {
    return undefined;
  }
  return Number(found[1] + (found[2] ?? "").padEnd(places, "0"));
}

function inMajor(minor, currency) {
  const places = placesOf(currency) ?? 0;
  const digits = String(minor).padStart(places + 1, "0");
  return places ? `${digits.slice(0, -places)}.${digits.slice(-places)}` : digits;
}

/** Return how many digits this currency has behind the point; undefined if it is none. */
function placesOf(currency) {
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency: currency.trim() });
    return format.resolvedOptions().maximumFractionDigits;
  } catch {
    return undefined;
  }
}

function take(news) {
  standing = news.standing;
  if (news.screen && news.number > (known ?? 0)) {
    shown = news.screen;
    sound(shown.colour);
  }
  known = Math.max(known ?? 0, news.number);
  if (at("currency").value === "" && standing.currency) {
    at("currency").value = standing.currency;
  }
  draw();
}

function draw() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of document.querySelectorAll("[data-en]")) {
    each.textContent = each.dataset[language];
  }
  at("language").textContent = language === "en" ? "中文" : "English";
  at("language").lang = language === "en" ? "zh-CN" : "en";
  for (const each of document.querySelectorAll("[data-label-en]")) {
    each.setAttribute("aria-label", language === "zh" ? each.dataset.labelZh : each.dataset.labelEn);
  }
  drawStanding();
  drawSeat();
  drawVerdict();
}

function drawStanding() {
  if (!standing) {
    return;
  }
  const words = WORDS[language];
  const until = standing.lease_until && new Date(standing.lease_until);
  let line = words.online;
  if (!standing.is_online) {
    line = until && !standing.wrong ? words.alone + until.toLocaleTimeString([], { timeStyle: "short" }) : words.offline;
  }
  at("name").textContent = standing.is_hub ? `${standing.name} (${words.hub})` : standing.name;
  at("line").textContent = standing.is_clock_wrong ? `${line} · ${words.clock}` : line;
  at("line").dataset.online = String(standing.is_online);
  at("unsent").textContent = standing.unsent ? words.unsent(standing.unsent) : "";
  at("wrong").hidden = !standing.wrong;
  at("wrong").textContent = standing.wrong?.[language] ?? "";
}

function drawSeat() {
  const cashiers = standing?.cashiers ?? [];
  const who = standing?.cashier ?? null;
  const was_hidden = seat.hidden;
  at("seated").hidden = who === null;
  at("who").textContent = who ?? "";
  at("named").hidden = cashiers.length > 0;
  seat.hidden = cashiers.length === 0 || who !== null;
  form.hidden = !seat.hidden;
  if (seat.hidden) {
    refused = null;
  }
  at("no").hidden = refused === null;
  at("no").textContent = refused
    ? [refused.cashier[language], refused.action[language]].join(language === "zh" ? "" : " ")
    : "";
  choices(at("whose"), [
    ["", WORDS[language].choose],
    ...cashiers.map((each) => [each.id, each.name]),
  ]);
  if (was_hidden !== seat.hidden && verdict.hidden) {
    focus();
  }
  const { products = [], categories = [] } = standing ?? {};
  choices(at("products"), products.map((each) => [each, ""]));
  choices(at("categories"), categories.map((each) => [each, ""]));
  at("lines").dataset.categories = String(categories.length > 0);
  for (const each of rows.querySelectorAll(".category")) {
    each.hidden = categories.length === 0;
  }
}

/** Write these choices, unless they stand there already: somebody may be choosing. */
function choices(list, wanted) {
  const said = JSON.stringify(wanted);
  if (list.dataset.said === said) {
    return;
  }
  const chosen = list.value;
  list.replaceChildren(...wanted.map(([value, text]) => new Option(text, value)));
  list.dataset.said = said;
  if (wanted.some(([value]) => value === chosen)) {
    list.value = chosen;
  }
}

function drawVerdict() {
  verdict.hidden = shown === null;
  if (shown === null) {
    return;
  }
  const other = language === "en" ? "zh" : "en";
  verdict.dataset.colour = shown.colour;
  verdict.dataset.code = shown.code;
  at("sign").dataset.sign = shown.sign;
  at("word").textContent = shown.word[language];
  at("digits").textContent = shown.challenge ?? "";
  at("digits").hidden = shown.challenge === null;
  at("sentence").textContent = shown.cashier[language];
  at("action").textContent = shown.action[language];
  at("other").textContent = `${shown.word[other]}: ${shown.cashier[other]}`;
  at("other").lang = other === "zh" ? "zh-CN" : "en";
  focus();
}

let audio = null;

function sound(colour) {
  const tones = { green: [880, 1320], amber: [520, 520], red: [220, 165], grey: [330] }[colour];
  try {
    audio ??= new AudioContext();
    tones.forEach((tone, place) => {
      const from = audio.currentTime + place * 0.14;
      const [oscillator, gain] = [audio.createOscillator(), audio.createGain()];
      oscillator.frequency.value = tone;
      gain.gain.setValueAtTime(0.2, from);
      gain.gain.exponentialRampToValueAtTime(0.001, from + 0.13);
      oscillator.connect(gain).connect(audio.destination);
      oscillator.start(from);
      oscillator.stop(from + 0.13);
    });
  } catch {
    // a machine without sound: the screen says it all
  }
}

async function listen() {
  for (;;) {
    try {
      take(await (await fetch(`shown?after=${known ?? ""}`)).json());
    } catch {
      standing = standing && { ...standing, is_online: false };
      draw();
      await new Promise((wake) => setTimeout(wake, 1000));
    }
  }
}

draw();
focus();
listen();
