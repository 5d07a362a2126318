// The waterfall of one request: a row a span, bars on one time axis, details of the row that is looked at.

import { eachFrame, h, setText } from "./dom.js";
import { duration, tick } from "./format.js";
import { layOut } from "./spans.js";

const KINDS = { gateway: "Gateway", queue: "Queue", function: "Function", init: "Cold start", model: "Model", call: "Call" };
const AFTER = 78; // percent: a bar that ends before has its duration after it
const BEFORE = 25; // percent of the track that a length needs in front of its bars
const INSIDE = 24; // percent: a wider bar has it inside, any other before it, or over its end where there is no room

const DETAILS = {
  api: "API", attempt: "Attempt", batch_size: "Batch", cold_start: "Cold start", connection: "Connection", dead_letter: "Dead letter",
  error_code: "Error", error_type: "Error", first_token_ms: "First token", input_tokens: "Input tokens", message_id: "Message",
  model: "Model", operation: "Operation", output_tokens: "Output tokens", receive: "Delivery", request_id: "Request id", route: "Route",
  service: "Service", stage: "Stage", status_code: "Status", stop_reason: "Stop reason", asynchronous: "Asynchronous",
};

export class Waterfall {
  /** `names`: {logical id: name} of functions, which are shown by their logical ids. */
  constructor(label, names = {}) {
    this.ids = new Map(Object.entries(names).map(([id, name]) => [name, id]));
    this.spans = new Map();
    this.rows = new Map();
    this.picked = null;
    this.startMs = 0;
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
    const { rows, ticks, startMs } = layOut([...this.spans.values()], Date.now());
    this.startMs = startMs;
    this.axis.replaceChildren(...ticks.map(({ ms, left }) => place(h("span", {}, tick(ms)), { left })));
    const kept = new Set(rows.map(({ key }) => key));
    for (const [key, { item }] of this.rows) {
      if (kept.has(key)) continue;
      item.remove(); // it shares a row by now
      this.rows.delete(key);
    }
    rows.forEach((row, at) => {
      const parts = this.rows.get(row.key) ?? this.#make(row.key);
      if (this.list.children[at] !== parts.item) this.list.insertBefore(parts.item, this.list.children[at] ?? null);
      this.#fill(parts, row);
    });
    if (this.picked !== null) this.#pick(this.picked);
    if (this.isRunning && this.element.isConnected) setTimeout(this.draw, 100);
  }

  #make(key) {
    const pick = () => this.#pick(key);
    const kind = h("span", { class: "kind" });
    const name = h("span", { class: "name" });
    const length = h("span", { class: "length" });
    const track = h("span", { class: "track" }, length);
    const row = h("button", { type: "button", class: "span", onfocus: pick, onclick: pick, onmouseenter: pick },
      h("span", { class: "what" }, kind, name), track);
    const parts = { item: h("li", {}, row), row, kind, name, track, length, bars: [], shown: null };
    this.rows.set(key, parts);
    return parts;
  }

  #fill(parts, row) {
    const { spans, depth, bars, lengthMs } = row;
    const [first] = spans;
    const kind = KINDS[first.kind] ?? first.kind;
    const many = spans.length > 1 ? `${spans.length} × ` : "";
    const length = lengthMs === null ? "running" : duration(lengthMs);
    const isWrong = spans.some((span) => span.status === "error");
    parts.shown = row;
    setText(parts.kind, kind);
    setText(parts.name, many + this.#nameOf(first));
    setText(parts.length, length);
    parts.row.dataset.kind = first.kind;
    parts.row.dataset.status = isWrong ? "error" : "ok";
    parts.row.toggleAttribute("data-running", lengthMs === null);
    parts.row.setAttribute("aria-label", `${kind} ${many}${this.#nameOf(first)}, ${length}${isWrong ? ", with an error" : ""}`);
    parts.item.style.setProperty("--depth", String(Math.min(depth, 6)));
    while (parts.bars.length < bars.length) {
      parts.bars.push(h("span", { class: "bar" }));
      parts.track.insertBefore(parts.bars.at(-1), parts.length);
    }
    bars.forEach((bar, at) => place(parts.bars[at], bar));
    placeLength(parts.length, bars);
  }

  #nameOf(span) {
    return this.ids.get(span.name) ?? span.name;
  }

  #pick(key) {
    const row = this.rows.get(key)?.shown;
    if (!row) return;
    this.picked = key;
    for (const [other, parts] of this.rows) parts.row.toggleAttribute("data-picked", other === key);
    const [first] = row.spans;
    const title = h("h3", {}, `${KINDS[first.kind] ?? first.kind}: ${this.#nameOf(first)}`);
    const terms = factsOf(row, this.startMs).map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)));
    this.detail.replaceChildren(title, h("dl", {}, ...terms));
  }
}

function factsOf({ spans, lengthMs }, startMs) {
  const [first] = spans;
  const facts = [["Begins", `after ${duration(first.start_ms - startMs)}`], ["Takes", lengthMs === null ? "running" : duration(lengthMs)]];
  if (spans.length > 1) {
    const lengths = spans.filter((span) => span.end_ms !== null).map((span) => span.end_ms - span.start_ms);
    facts.push(["Calls", String(spans.length)], ["Longest", duration(Math.max(0, ...lengths))]);
    const wrong = spans.filter((span) => span.status === "error");
    if (wrong.length > 0) facts.push(["With an error", String(wrong.length)]);
    return facts;
  }
  return [...facts, ...Object.entries(first.detail ?? {}).map(([name, value]) => [DETAILS[name] ?? name, told(name, value)])];
}

function placeLength(length, bars) {
  const left = Math.min(...bars.map((bar) => bar.left));
  const right = Math.max(...bars.map((bar) => bar.left + bar.width));
  const isAfter = right <= AFTER;
  const isInside = !isAfter && bars.length === 1 && right - left >= INSIDE;
  const isBefore = !isAfter && !isInside && left >= BEFORE;
  length.toggleAttribute("data-inside", isInside);
  length.toggleAttribute("data-over", !isAfter && !isInside && !isBefore);
  if (isAfter) place(length, { left: right });
  else if (isBefore) place(length, { right: 100 - left });
  else place(length, { right: isInside ? 100 - right : 0 });
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
