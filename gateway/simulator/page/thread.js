// The bubbles of one conversation.

import { el, icon } from "./dom.js";
import { clock, day, duration, isChinese } from "./format.js";

const PATIENCE_S = 20;

export class Thread {
  constructor(list) {
    this.list = list;
    this.clear();
  }

  clear() {
    this.messages = new Map();
    this.bubbles = new Map();
    this.arrived = null;
    this.list.replaceChildren();
  }

  // Takes new and changed messages; redraws only what changed, so that a screen reader hears each text once.
  show(messages) {
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 120;
    for (const message of messages) this.messages.set(message.id, message);
    const inOrder = [...this.messages.values()].sort((a, b) => a.at_s - b.at_s);
    this.list.querySelectorAll(".day, .typing").forEach((node) => node.remove());
    let previous = null;
    inOrder.forEach((message, position) => {
      if (!previous || day(previous.at_s) !== day(message.at_s)) {
        this.list.insertBefore(el("li", { class: "day" }, day(message.at_s)), this.list.children[this.#index(position, inOrder)] ?? null);
      }
      this.#place(message, previous);
      previous = message;
    });
    if (this.#waits(previous)) this.list.append(this.#typing());
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  partArrived(part) {
    this.arrived = part;
    this.show([]);
  }

  #index(position, inOrder) {
    const bubble = this.bubbles.get(inOrder[position].id);
    return bubble ? [...this.list.children].indexOf(bubble.node) : this.list.children.length;
  }

  #place(message, previous) {
    const state = JSON.stringify(message);
    let bubble = this.bubbles.get(message.id);
    if (!bubble) {
      bubble = { node: el("li", { class: `message ${message.direction}`, "data-id": message.id }), state: null };
      bubble.node.append(
        el("p", { class: "bubble", lang: isChinese(message.text) ? "zh-CN" : null }, message.text || "(empty)"),
        el("p", { class: "meta" }),
      );
      this.bubbles.set(message.id, bubble);
      const before = previous ? this.bubbles.get(previous.id).node.nextSibling : this.list.querySelector(".message");
      this.list.insertBefore(bubble.node, before);
    }
    bubble.node.classList.toggle("follows", previous?.direction === message.direction);
    if (bubble.state !== state) {
      bubble.state = state;
      bubble.node.lastChild.replaceChildren(...(message.direction === "mo" ? sentMeta(message) : receivedMeta(message)));
    }
  }

  #waits(last) {
    if (!last || last.direction !== "mo" || ["refused", "expired"].includes(last.state)) return false;
    const restMs = (last.at_s + PATIENCE_S) * 1000 - Date.now();
    if (restMs > 0) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.show([]), restMs);
    }
    return restMs > 0;
  }

  #typing() {
    const parts = this.arrived ? `${this.arrived.arrived} of ${this.arrived.total} parts` : "";
    return el("li", { class: "typing", "aria-label": "waiting for the answer" }, el("span", { class: "bubble" },
      el("i"), el("i"), el("i"), parts && el("small", {}, parts)));
  }
}

function sentMeta(message) {
  const words = [clock(message.at_s)];
  if (message.parts > 1) words.push(`${message.parts} parts`);
  if (message.attempts > message.parts) words.push(`attempt ${message.attempts}`);
  if (message.status && message.state !== "acknowledged") words.push(message.status);
  const [name, label] = {
    acknowledged: ["delivered", `delivered in ${duration(message.acknowledged_ms ?? 0)}`],
    queued: message.attempts ? ["sent", "sent, not acknowledged yet"] : ["waiting", "waiting for a gateway to bind"],
    refused: ["refused", "refused"],
    expired: ["refused", "expired"],
  }[message.state];
  const mark = el("span", { class: `mark ${message.state}`, title: label }, icon(name, label));
  return [el("span", {}, words.join(" · ")), mark];
}

function receivedMeta(message) {
  const words = [el("span", {}, clock(message.at_s))];
  if (message.parts > 1) words.push(el("span", { class: "tag" }, `${message.parts} parts`));
  if (message.answer_ms !== null) words.push(el("span", { class: "tag fast", title: "from sending to the whole answer" }, duration(message.answer_ms)));
  return words;
}
