// The waterfall of one request: a row a span, bars on one time axis, details of the row that is looked at.

import { eachFrame, h, setText } from "./dom.js";
import { duration } from "./format.js";
import { layOut } from "./spans.js";

const KINDS = { gateway: "Gateway", queue: "Queue", function: "Function", init: "Cold start", model: "Model", call: "Call" };
const AFTER = 78; // percent: a bar that ends before has its duration after it
const INSIDE = 24; // percent: a wider bar has it inside, any other before it

const DETAILS = {
  api: "API", attempt: "Attempt", batch_size: "Batch", cold_start: "Cold start", connection: "Connection", dead_letter: "Dead letter",
  error_code: "Error", error_type: "Error", first_token_ms: "First token", input_tokens: "Input tokens", message_id: "Message",
  model: "Model", operation: "Operation", output_tokens: "Output tokens", receive: "Delivery", request_id: "Request id", route: "Route",
  service: "Service", stage: "Stage", status_code: "Status", stop_reason: "Stop reason", asynchronous: "Asynchronous",
}; // prettier-ignore

export class Waterfall {
  constructor(label) {
    this.spans = new Map();
    this.rows = new Map();
    this.picked = null;
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.list = h("ol", { class: "spans" });
    this.detail = h("div", { class: "span-detail", "aria-live": "off" });
    this.element = h("div", { class: "waterfall", role: "group", "aria-label": label }, this.axis, this.list, this.detail);
    this.draw = eachFrame(() => this.#draw());
  }

  /** More spans, or newer states of those that are shown. */
  add(spans) {
    for (const span of spans) {
      const known = this.spans.get(span.id);
      if (!known || known.end_ms === null || span.end_ms !== null) this.spans.set(span.id, span);
    }
    this.draw();
  }

  get isRunning() {
    return [...this.spans.values()].some((span) => span.end_ms === null);
  }

  #draw() {
    const { rows, ticks } = layOut([...this.spans.values()], Date.now());
    this.axis.replaceChildren(...ticks.map(({ ms, left }) => place(h("span", {}, ms === 0 ? "0" : duration(ms)), { left })));
    rows.forEach((row, at) => {
      const parts = this.rows.get(row.span.id) ?? this.#make(row.span);
      if (this.list.children[at] !== parts.item) this.list.insertBefore(parts.item, this.list.children[at] ?? null);
      this.#fill(parts, row);
    });
    if (this.picked !== null) this.#pick(this.picked);
    if (this.isRunning && this.element.isConnected) setTimeout(this.draw, 100);
  }

  #make(span) {
    const pick = () => this.#pick(span.id);
    const kind = h("span", { class: "kind" });
    const name = h("span", { class: "name" });
    const bar = h("span", { class: "bar" });
    const length = h("span", { class: "length" });
    const row = h("button", { type: "button", class: "span", onfocus: pick, onclick: pick, onmouseenter: pick },
      h("span", { class: "what" }, kind, name), h("span", { class: "track" }, bar, length)); // prettier-ignore
    const parts = { item: h("li", {}, row), row, kind, name, bar, length };
    this.rows.set(span.id, parts);
    return parts;
  }

  #fill(parts, { span, depth, left, width, lengthMs }) {
    const kind = KINDS[span.kind] ?? span.kind;
    const length = lengthMs === null ? "running" : duration(lengthMs);
    setText(parts.kind, kind);
    setText(parts.name, span.name);
    setText(parts.length, length);
    parts.row.dataset.kind = span.kind;
    parts.row.dataset.status = span.status;
    parts.row.toggleAttribute("data-running", lengthMs === null);
    parts.row.setAttribute("aria-label", `${kind} ${span.name}, ${length}${span.status === "error" ? ", with an error" : ""}`);
    parts.item.style.setProperty("--depth", String(Math.min(depth, 6)));
    place(parts.bar, { left, width });
    const isAfter = left + width <= AFTER;
    const isInside = !isAfter && width >= INSIDE;
    parts.length.toggleAttribute("data-inside", isInside);
    if (isAfter) place(parts.length, { left: left + width });
    else place(parts.length, { right: 100 - left - (isInside ? width : 0) });
  }

  #pick(id) {
    const span = this.spans.get(id);
    if (!span) return;
    this.picked = id;
    for (const [other, { row }] of this.rows) row.toggleAttribute("data-picked", other === id);
    const startMs = Math.min(...[...this.spans.values()].map((other) => other.start_ms));
    const facts = [["Begins", `after ${duration(span.start_ms - startMs)}`], ["Takes", span.end_ms === null ? "running" : duration(span.end_ms - span.start_ms)]];
    for (const [name, value] of Object.entries(span.detail ?? {})) facts.push([DETAILS[name] ?? name, told(name, value)]);
    const terms = facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)));
    this.detail.replaceChildren(h("h3", {}, `${KINDS[span.kind] ?? span.kind}: ${span.name}`), h("dl", {}, ...terms));
  }
}

function told(name, value) {
  if (name.endsWith("_ms") && typeof value === "number") return duration(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

function place(element, { left, right, width }) {
  element.style.left = left === undefined ? "" : `${left.toFixed(3)}%`;
  element.style.right = right === undefined ? "" : `${right.toFixed(3)}%`;
  element.style.width = width === undefined ? "" : `${width.toFixed(3)}%`;
  return element;
}
