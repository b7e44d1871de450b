// The faults panel: which faults the simulator knows, those in force, and the form that orders one.

import { get, post } from "./api.js";
import { el } from "./dom.js";

export class Faults {
  constructor(panel) {
    this.choice = el("select", { "aria-label": "Fault", onchange: () => this.drawSettings() });
    this.settings = el("div", { class: "fault-settings" });
    this.said = el("p", { role: "status" });
    this.inForce = el("ul", { "aria-label": "Faults in force" });
    const form = el("form", { onsubmit: (event) => this.submit(event) },
      this.choice, this.settings, el("button", {}, "Order"));
    panel.append(form, this.said, this.inForce);
    panel.addEventListener("toggle", () => { if (panel.open) this.open(); });
  }

  async open() {
    this.known ??= new Map((await get("/api/faults/known")).map((fault) => [fault.name, fault]));
    if (!this.choice.children.length) {
      this.choice.append(...[...this.known.values()].map(({ name, does }) => el("option", { value: name, title: does }, name)));
      this.drawSettings();
    }
    this.draw(await get("/api/faults"));
  }

  drawSettings() {
    const fault = this.known.get(this.choice.value);
    this.said.textContent = fault.does;
    this.settings.replaceChildren(...Object.entries(fault.settings).map(([key, value]) => el("label", {}, key,
      key === "form"
        ? el("select", { name: key }, ...fault.forms.map((form) => el("option", {}, form)))
        : el("input", { name: key, value: String(value) }))));
  }

  submit(event) {
    event.preventDefault();
    const settings = Object.fromEntries([...new FormData(event.target)].map(([key, value]) =>
      [key, value !== "" && !Number.isNaN(Number(value)) ? Number(value) : value]));
    this.order({ [this.choice.value]: settings });
  }

  async order(orders) {
    try {
      this.draw(await post("/api/faults", orders));
      this.said.textContent = "Ordered";
    } catch (error) {
      this.said.textContent = error.message;
    }
  }

  draw(orders) {
    this.inForce.replaceChildren(...Object.entries(orders).map(([name, settings]) => el("li", {},
      el("span", {}, `${name} ${Object.entries(settings).filter(([key]) => key !== "until_s").map((pair) => pair.join(" ")).join(", ")}`),
      el("button", { type: "button", onclick: () => this.order({ [name]: null }) }, "Withdraw"))));
  }
}
