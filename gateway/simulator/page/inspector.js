// The PDUs of a conversation, or of every link: a line each, fields and octets when opened.

import { get } from "./api.js";
import { el, icon } from "./dom.js";
import { clockMs, hexRows, isChinese } from "./format.js";

const MOST = 300;

export class Inspector {
  constructor(list) {
    this.list = list;
    this.conversation = null;
    this.all = false;
    this.early = null; // what comes while the rest is being fetched
  }

  async open(conversation) {
    this.conversation = conversation;
    const query = this.all || !conversation ? {} : { number: conversation.number, service: conversation.service };
    const early = (this.early = []);
    let pdus = [];
    try {
      pdus = await get("/api/pdus", { ...query, limit: 200 });
    } finally {
      if (this.early === early) this.early = null;
    }
    if (this.conversation !== conversation || this.early) return;
    this.list.replaceChildren();
    this.last = 0;
    [...pdus, ...early].forEach((pdu) => this.add(pdu));
    if (!this.list.children.length) this.list.append(el("li", { class: "nothing" }, "Send a text and its PDUs appear here."));
  }

  add(pdu) {
    if (this.early) {
      this.early.push(pdu);
      return;
    }
    const here = this.conversation;
    if (pdu.id <= this.last) return;
    if (!this.all && (!here || pdu.number !== here.number || pdu.service !== here.service)) return;
    this.last = pdu.id;
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 80;
    this.list.querySelector(".nothing")?.remove();
    this.list.append(line(pdu));
    while (this.list.children.length > MOST) this.list.firstChild.remove();
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }
}

function line(pdu) {
  const outgoing = pdu.direction === "out";
  const way = outgoing ? "SMSC to gateway" : "gateway to SMSC";
  const isResponse = pdu.command.endsWith("_resp") || pdu.command === "generic_nack";
  const wrong = pdu.status !== "ESME_ROK";
  const details = el("details", { class: outgoing ? "out" : "in" },
    el("summary", {},
      el("span", { class: "way", title: way }, icon(outgoing ? "open" : "back", way)),
      el("span", { class: "command" }, pdu.command),
      isResponse || wrong ? el("span", { class: `status ${wrong ? "wrong" : ""}` }, wrong ? pdu.status.replace("ESME_", "") : "ok") : null,
      el("span", { class: "octets" }, `${pdu.hex.length / 2} B`),
      el("time", {}, clockMs(pdu.at_s)),
    ));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(fields(pdu), octets(pdu));
  });
  return el("li", {}, details);
}

// What says something, a row each; the many fields that are zero or empty in one.
function fields(pdu) {
  const isBlank = ([, value]) => ["", "0", "0x00"].includes(value);
  const blank = pdu.fields.filter(isBlank).map(([name]) => name);
  const rows = [["link", `${pdu.link} ${pdu.system_id}`], ...pdu.fields.filter((field) => !isBlank(field))].map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", { lang: isChinese(value) ? "zh-CN" : null }, value)));
  if (blank.length) rows.push(el("div", { class: "blank" }, el("dt", {}, "zero or empty"), el("dd", {}, blank.join(", "))));
  return el("dl", {}, ...rows);
}

function octets(pdu) {
  const rows = hexRows(pdu.hex).map(({ offset, octets: row, text }, index) =>
    el("span", { class: index < 2 ? "row header" : "row" },
      el("i", {}, offset), `  ${row.join(" ").padEnd(23)}  `, el("b", {}, text), "\n"));
  return el("pre", { class: "hex", "aria-label": "octets" }, ...rows);
}
