// The newest records of a stream as they arrive: two hundred at most, held still on demand, filtered by an event pattern.

import { announce, byId, eachFrame, h, setText } from "./dom.js";
import { counted, moment, size } from "./format.js";
import { Problem } from "./problems.js";
import { shortId } from "./shards.js";

export const KEPT = 200;
const LINE_CHARS = 160;
const WORDS = { starting: "Starting…", live: "Live", failed: "Not live", lost: "Reconnecting…" };

/** What tells a record from every other. */
export function recordId({ shard, sequence_number, sub_sequence }) {
  return `${shard}/${sequence_number}/${sub_sequence ?? ""}`;
}

/** A record's data in one line, and in many. */
export function recordTexts({ data, text, base64, cut, fault }) {
  const whole = data !== null ? JSON.stringify(data, null, 2) : (text ?? base64);
  const line = data !== null ? JSON.stringify(data) : (text ?? `${base64} (bytes)`);
  const end = [cut ? "Only the beginning is shown." : "", fault ? `It cannot be opened: ${fault}.` : ""].filter(Boolean).join(" ");
  return { line: line.length > LINE_CHARS ? `${line.slice(0, LINE_CHARS)}…` : line, whole, end };
}

/** The newest records, by identity; those that come while it is paused wait. */
export class Records {
  constructor(most = KEPT) {
    this.most = most;
    this.shown = new Map();
    this.waiting = new Map();
    this.isPaused = false;
  }

  /** Whether it is shown now. One that is known already is not taken again. */
  take(record) {
    const id = recordId(record);
    if (this.shown.has(id) || this.waiting.has(id)) return false;
    const place = this.isPaused ? this.waiting : this.shown;
    place.set(id, record);
    if (place.size > this.most) place.delete(place.keys().next().value);
    return !this.isPaused;
  }

  /** Lets those in that have waited. */
  resume() {
    this.isPaused = false;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const record of waiting) this.take(record);
  }

  clear() {
    this.shown.clear();
    this.waiting.clear();
  }
}

export class Tail {
  /** `onChoose(record)`: a record from which to replay. */
  constructor({ backend, onChoose, EventSource = globalThis.EventSource }) {
    Object.assign(this, { backend, onChoose, EventSource });
    this.records = new Records();
    this.rows = new Map();
    this.stream = null;
    this.pattern = "";
    this.source = null;
    this.draw = eachFrame(() => this.#draw());
    byId("tail-filter").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#filter(byId("tail-pattern").value.trim());
    });
    byId("tail-pause").addEventListener("click", () => this.#pause());
  }

  /** Reads `stream` from now on; null for none. */
  read(stream) {
    if (stream === this.stream) return;
    this.stream = stream;
    this.records.clear();
    this.#open();
  }

  #open() {
    this.source?.close();
    this.source = null;
    this.draw();
    if (this.stream === null) return;
    const query = new URLSearchParams({ stream: this.stream, pattern: this.pattern });
    const source = new this.EventSource(`api/tail?${query}`);
    this.source = source;
    this.#say("starting");
    source.addEventListener("record", (event) => {
      this.records.take(JSON.parse(event.data));
      this.draw();
    });
    source.addEventListener("state", (event) => {
      const { state, error } = JSON.parse(event.data);
      this.#say(state, error);
    });
    source.addEventListener("error", () => this.#say("lost"));
  }

  #say(state, error = null) {
    byId("tail-state").dataset.state = state;
    setText(byId("tail-state"), WORDS[state] ?? state);
    this.#complain(error ? `The stream cannot be read: ${error}` : "");
  }

  // An event source tells nobody why it is refused, so the pattern is asked about first.
  async #filter(pattern) {
    try {
      if (this.stream !== null) await this.backend.local(`records?${new URLSearchParams({ stream: this.stream, pattern })}`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#complain(error.message);
      return;
    }
    this.pattern = pattern;
    this.records.clear();
    this.#open();
    announce(pattern ? "Only matching records are shown." : "All records are shown.");
  }

  #complain(sentence) {
    byId("tail-problem").hidden = !sentence;
    setText(byId("tail-problem"), sentence);
    if (sentence) byId("tail-pattern").setAttribute("aria-invalid", "true");
    else byId("tail-pattern").removeAttribute("aria-invalid");
  }

  #pause() {
    if (this.records.isPaused) this.records.resume();
    else this.records.isPaused = true;
    announce(this.records.isPaused ? "Paused" : "Live again");
    this.draw();
  }

  #draw() {
    const list = byId("tail");
    const { shown, waiting, isPaused } = this.records;
    for (const [id, row] of this.rows) {
      if (shown.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    for (const [id, record] of shown) {
      if (this.rows.has(id)) continue;
      const row = this.#make(record);
      this.rows.set(id, row);
      list.prepend(row);
    }
    byId("tail-empty").hidden = shown.size > 0;
    list.hidden = shown.size === 0;
    byId("tail-pause").setAttribute("aria-pressed", String(isPaused));
    setText(byId("tail-pause"), isPaused ? `Resume${waiting.size ? ` (${counted(waiting.size, "record")} wait)` : ""}` : "Pause");
  }

  #make(record) {
    const { line, whole, end } = recordTexts(record);
    const when = h("time", { datetime: new Date(record.arrived_ms).toISOString() }, moment(record.arrived_ms));
    const key = h("b", {}, record.key);
    const summary = h("summary", {}, when, key, h("span", { class: "shard-name" }, shortId(record.shard)), h("code", {}, line));
    const place = record.sub_sequence === null ? record.sequence_number : `${record.sequence_number}/${record.sub_sequence}`;
    const facts = h("p", { class: "facts" }, `${shortId(record.shard)}  ·  ${size(record.size_bytes)}  ·  sequence number ${place}`);
    const again = h("button", { type: "button", class: "quiet", onclick: () => this.onChoose(record) }, "Replay from here");
    const body = h("div", { class: "record-body" }, facts, h("pre", { tabindex: "0", "aria-label": "Data" }, whole), end && h("p", { class: "hint" }, end), again);
    return h("li", { class: "record", "data-fault": Boolean(record.fault) }, h("details", {}, summary, body));
  }
}
