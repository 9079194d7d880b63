// The counter's page. Every text goes in as text; nothing comes from anywhere but this machine.
"use strict";

const at = (id) => document.getElementById(id);
const form = at("scan");
const code = at("code");
const verdict = at("verdict");

const WORDS = {
  en: {
    online: "Online",
    offline: "No network",
    alone: "No network: works alone until ",
    hub: "hub",
    unsent: (many) => (many === 1 ? "1 entry not sent yet" : `${many} entries not sent yet`),
    clock: "This terminal's clock is wrong",
    amount: "Enter the amount as 12.50",
  },
  zh: {
    online: "已联网",
    offline: "无网络",
    alone: "无网络，可离线核销至",
    hub: "主机",
    unsent: (many) => `${many}条记录待上传`,
    clock: "本终端时间不准",
    amount: "请按12.50的格式输入金额",
  },
};

let language = navigator.language.startsWith("zh") ? "zh" : "en";
let known = null; // the number of the newest screen
let shown = null;
let standing = null;
let isBusy = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = code.value.trim();
  if (!text || isBusy) {
    hide();
    return;
  }
  const total = minorUnits(at("total").value, at("currency").value);
  at("total").setCustomValidity(total === undefined ? WORDS[language].amount : "");
  if (!form.reportValidity()) {
    return;
  }
  isBusy = true;
  form.setAttribute("aria-busy", "true");
  code.value = "";
  try {
    const answer = await fetch("scans", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        code: text,
        total_minor: total,
        currency: at("currency").value.trim().toUpperCase() || null,
        order_ref: at("receipt").value.trim() || null,
        cashier: at("cashier").value.trim() || null,
      }),
    });
    take(await answer.json());
  } catch {
    code.value = text; // this program was stopped: nothing was lost, nothing was redeemed
  } finally {
    isBusy = false;
    form.removeAttribute("aria-busy");
  }
});

at("total").addEventListener("input", () => at("total").setCustomValidity(""));

at("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  draw();
  code.focus();
});

at("next").addEventListener("click", hide);

// A wedge scanner types wherever the focus is: it must always be where it belongs.
verdict.addEventListener("click", hide);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    hide();
  } else if (!verdict.hidden && event.key.length === 1) {
    code.focus();
  }
});
window.addEventListener("focus", () => code.focus());

function hide() {
  verdict.hidden = true;
  shown = null;
  code.focus();
}

/** Return an amount in whole minor units; null if none is given, undefined if it is no amount. */
function minorUnits(text, currency) {
  const amount = text.trim().replace(",", ".");
  if (!amount) {
    return null;
  }
  let places;
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency: currency.trim() });
    places = format.resolvedOptions().maximumFractionDigits;
  } catch {
    return undefined;
  }
  const found = /^(\d{1,10})(?:\.(\d+))?$/.exec(amount);
  if (!found || (found[2] ?? "").length > places) {
    return undefined;
  }
  return Number(found[1] + (found[2] ?? "").padEnd(places, "0"));
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
  drawStanding();
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
    line = until ? words.alone + until.toLocaleTimeString([], { timeStyle: "short" }) : words.offline;
  }
  at("name").textContent = standing.is_hub ? `${standing.name} (${words.hub})` : standing.name;
  at("line").textContent = standing.is_clock_wrong ? `${line} · ${words.clock}` : line;
  at("line").dataset.online = String(standing.is_online);
  at("unsent").textContent = standing.unsent ? words.unsent(standing.unsent) : "";
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
  code.focus();
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
code.focus();
listen();
