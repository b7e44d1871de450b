// The phone page: which phone texts to which service, kept live by the simulator's events.
// The address bar holds the view, #/NUMBER/SERVICE or #/NUMBER/SERVICE/pdus, so that "back" works.

import { get, listen, post } from "./api.js";
import { el, icon } from "./dom.js";
import { Faults } from "./faults.js";
import { clock, isChinese, phoneNumber } from "./format.js";
import { Inspector } from "./inspector.js";
import { Thread } from "./thread.js";

const $ = (id) => document.getElementById(id);
const wide = matchMedia("(min-width: 1180px)");
const narrow = matchMedia("(max-width: 759px)");

const state = { carriers: [], phones: [], here: null, last: new Map(), unread: new Set() };
const thread = new Thread($("thread"));
const inspector = new Inspector($("pdus"));
new Faults($("faults"));

const keyOf = ({ number, service }) => `${number}/${service}`;
const carrierAt = (service) => state.carriers.find((carrier) => carrier.number === service);
const phoneOf = (number) => state.phones.find((phone) => phone.msisdn === number);
const short = (carrier) => (carrier ? carrier.title_zh.slice(-2, -1) : "#");

function storyOf(phone) {
  const story = phone?.story ?? "";
  return typeof story === "string" ? story : (story.en ?? "");
}

// Where we are

function parseView() {
  const [, number, service, extra] = location.hash.split("/").map(decodeURIComponent);
  return number && service ? { number, service, pdus: extra === "pdus" } : null;
}

function go(conversation, pdus = false) {
  const path = conversation && [conversation.number, conversation.service].map(encodeURIComponent).join("/");
  location.hash = conversation ? `#/${path}${pdus ? "/pdus" : ""}` : "#/";
}

async function show() {
  const view = parseView();
  if (!view && !narrow.matches) {
    const first = conversations()[0];
    if (first) return go(first);
  }
  document.body.dataset.view = view ? (view.pdus ? "pdus" : "conversation") : "list";
  $("toggle-pdus").setAttribute("aria-expanded", String(Boolean(view?.pdus) || inspectorShown()));
  const changed = view && (!state.here || keyOf(view) !== keyOf(state.here));
  if (!view) {
    state.here = null;
  } else if (changed) {
    state.here = { number: view.number, service: view.service };
    state.unread.delete(keyOf(view));
    drawHead();
    thread.clear();
    inspector.list.replaceChildren();
    await refresh();
  }
  if (changed && !narrow.matches) $("text").focus();
  if (view?.pdus && narrow.matches) $("close-pdus").focus();
  drawPeople();
}

async function refresh() {
  const here = state.here;
  if (!here) return;
  const [messages] = await Promise.all([get("/api/messages", here), inspector.open(here)]);
  if (state.here === here) thread.show(messages);
}

// The list of phones

function conversations() {
  const known = new Map();
  for (const phone of state.phones) {
    const carrier = state.carriers.find(({ name }) => name === phone.carrier) ?? state.carriers[0];
    const conversation = { number: phone.msisdn, service: phone.number ?? carrier.number };
    known.set(keyOf(conversation), conversation);
  }
  for (const { number, service } of state.last.values()) known.set(`${number}/${service}`, { number, service });
  if (state.here) known.set(keyOf(state.here), state.here);
  return [...known.values()];
}

function drawPeople() {
  $("people").replaceChildren(...conversations().map((conversation) => {
    const key = keyOf(conversation);
    const carrier = carrierAt(conversation.service);
    const last = state.last.get(key);
    const preview = last?.text ?? (storyOf(phoneOf(conversation.number)) || "no messages yet");
    const current = state.here && key === keyOf(state.here);
    return el("li", {},
      el("button", {
        class: "person", "data-carrier": carrier?.name, "aria-current": current ? "true" : null,
        onclick: () => go(conversation),
      },
        el("span", { class: "avatar", "aria-hidden": "true", lang: "zh-CN" }, short(carrier)),
        el("span", { class: "person-text" },
          el("b", {}, phoneNumber(conversation.number)),
          el("span", { class: "preview", lang: isChinese(preview) ? "zh-CN" : null }, preview)),
        el("span", { class: "person-side" },
          last ? el("time", {}, clock(last.at_s).slice(0, 5)) : el("span", {}, conversation.service),
          state.unread.has(key) ? el("span", { class: "unread", role: "img", "aria-label": "new message" }) : null)));
  }));
}

// The conversation

function drawHead() {
  const { number, service } = state.here;
  const carrier = carrierAt(service);
  const phone = phoneOf(number);
  document.body.dataset.carrier = carrier?.name ?? "";
  $("talk-avatar").textContent = short(carrier);
  $("talk-service").textContent = service;
  $("talk-carrier").textContent = carrier ? `${carrier.title} · ${phoneNumber(number)}` : phoneNumber(number);
  $("chips").replaceChildren(...quickTexts(carrier, phone).map((text) =>
    el("button", { type: "button", class: "chip", onclick: () => send(text) }, text)));
  const visited = (phone?.language === "en" && phone.expected_en) || phone?.expected;
  const facts = [
    ["number", phoneNumber(number)],
    ["texts to", carrier ? `${service} ${carrier.title_zh}` : service],
    ["ID digits", phone?.id_last4 ?? "not in the sample"],
    ...(phone?.language ? [["language", phone.language]] : []),
    ...(visited ? [["visited", visited.join(", ") || "nowhere"]] : []),
  ];
  $("card").replaceChildren(
    el("dl", {}, ...facts.map(([name, value]) => 
      el("div", {}, el("dt", {}, name), el("dd", { lang: isChinese(value) ? "zh-CN" : null }, value)))),
    el("p", { lang: isChinese(storyOf(phone)) ? "zh-CN" : null }, storyOf(phone) || "A number of your own choice."));
}

function quickTexts(carrier, phone) {
  const digits = phone?.id_last4 ?? "1234";
  switch (carrier?.dialog) {
    case "id-inline": return [`CXMYD#${digits}`, `CXMYD#${digits} EN`, "CXMYD"];
    case "id-inline-then-confirm": return [`CXMYD#${digits}`, "Y", "CXMYD"];
    default: return ["CXMYD", digits, "CXMYD EN"];
  }
}

async function send(text) {
  notice("");
  try {
    await post("/api/mo", { from: state.here.number, to: state.here.service, text });
    return true;
  } catch (error) {
    notice(`Not sent: ${error.message}`);
    return false;
  }
}

function notice(text) {
  $("notice").textContent = text;
}

// What happens

function happened(kind, body) {
  if (kind === "pdu") inspector.add(body);
  else if (kind.startsWith("link_")) tolerant(drawLinks());
  else if (kind === "mt_part") {
    if (state.here && keyOf(body) === keyOf(state.here)) thread.partArrived(body);
  } else {
    const key = keyOf(body);
    const here = state.here && key === keyOf(state.here);
    if (!state.last.has(key) || state.last.get(key).at_s <= body.at_s) state.last.set(key, body);
    if (here) {
      if (kind === "mt_complete") thread.arrived = null;
      thread.show([body]);
    } else if (kind === "mt_complete") state.unread.add(key);
    drawPeople();
  }
}

async function drawLinks() {
  const links = await get("/api/links");
  const names = [...new Set(links.map((link) => link.system_id))];
  $("link").dataset.state = links.length ? "up" : "down";
  $("link").textContent = links.length ? `${links.length} ${links.length === 1 ? "bind" : "binds"}` : "no gateway";
  $("link").title = links.length ? names.join(", ") : "No ESME is bound: texts wait until one is";
}

// The simulator may go away between an event and our question: what could not be fetched is fetched when it is back.
function tolerant(fetching) {
  fetching.catch(() => {
    disconnected();
    setTimeout(() => tolerant(connected()), 1000);
  });
}

async function connected() {
  const latest = await get("/api/conversations");
  state.last = new Map(latest.map((message) => [keyOf(message), message]));
  await Promise.all([drawLinks(), refresh()]);
  drawPeople();
}

function disconnected() {
  $("link").dataset.state = "waiting";
  $("link").textContent = "reconnecting";
}

// Controls

const inspectorShown = () => wide.matches && !document.body.classList.contains("inspector-closed");

function togglePdus() {
  if (wide.matches) document.body.classList.toggle("inspector-closed");
  else go(state.here, document.body.dataset.view !== "pdus");
  $("toggle-pdus").setAttribute("aria-expanded", String(inspectorShown() || document.body.dataset.view === "pdus"));
}

function fitText() {
  $("text").style.height = "auto";
  $("text").style.height = `${Math.min($("text").scrollHeight, 120)}px`;
  $("send").disabled = !$("text").value;
}

async function submitText(event) {
  event.preventDefault();
  const text = $("text").value;
  if (!text || !(await send(text))) return;
  $("text").value = "";
  fitText();
}

function openNumber(event) {
  event.preventDefault();
  const number = $("dial-number").value.replace(/[^\dA-Za-z]/g, "");
  if (!number) return;
  const international = /^1[3-9]\d{9}$/.test(number) ? `86${number}` : number.replace(/^00/, "");
  $("dial-number").value = "";
  go({ number: international, service: $("dial-carrier").value });
}

function wire() {
  const icons = { back: "back", "close-pdus": "back", "toggle-pdus": "bytes", send: "send" };
  for (const [id, name] of Object.entries(icons)) $(id).append(icon(name));
  $("dial").querySelector("button").append(icon("open"));
  $("back").addEventListener("click", () => go(null));
  $("close-pdus").addEventListener("click", () => go(state.here));
  $("toggle-pdus").addEventListener("click", togglePdus);
  $("composer").addEventListener("submit", submitText);
  $("dial").addEventListener("submit", openNumber);
  $("text").addEventListener("input", fitText);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submitText(event);
  });
  for (const [id, all] of [["scope-this", false], ["scope-all", true]]) {
    $(id).addEventListener("click", () => {
      inspector.all = all;
      $("scope-this").setAttribute("aria-pressed", String(!all));
      $("scope-all").setAttribute("aria-pressed", String(all));
      tolerant(inspector.open(state.here));
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.dataset.view === "pdus") go(state.here);
  });
  for (const [target, name] of [[window, "hashchange"], [narrow, "change"], [wide, "change"]]) {
    target.addEventListener(name, () => tolerant(show()));
  }
  const tick = () => { $("clock").textContent = clock(Date.now() / 1000).slice(0, 5); };
  tick();
  setInterval(tick, 5000);
}

async function start() {
  wire();
  const { carriers, phones } = await get("/api/phones");
  Object.assign(state, { carriers, phones });
  $("dial-carrier").replaceChildren(...carriers.map(({ number, title }) =>
    el("option", { value: number }, `${title} ${number}`)));
  await connected();
  await show();
  listen({ connected: () => tolerant(connected()), disconnected, happened });
}

start().catch((error) => {
  disconnected();
  $("link").textContent = error.message;
});
