// Who reads a stream, and what they could not do: mappings with their lag, consumers, dead letters with their reasons.

import { byId, h } from "./dom.js";
import { ago, counted, duration, moment, whole } from "./format.js";
import { Problem } from "./problems.js";
import { shortId } from "./shards.js";

const IDLE_MS = 65_000; // the metric is of a minute: after it nothing was late

/** How far behind a reader is: IteratorAge of the newest minute, 0 where it had nothing to do since. Null: never anything. */
export function lagMs({ age_ms, age_at_ms, last_result }, now) {
  if (age_ms === null) return null;
  const isIdle = now - age_at_ms > IDLE_MS;
  return isIdle && !/^PROBLEM/i.test(last_result ?? "") ? 0 : age_ms;
}

/** The lag in words. */
export function lagWords(reader, now) {
  const lag = lagMs(reader, now);
  if (lag === null) return "nothing to do yet";
  return `${lag === 0 ? "0 s" : duration(lag)} behind`;
}

/** Cards of mappings, then the consumers with enhanced fan-out. */
export function drawReaders(place, { readers, consumers, letters, now }) {
  if (readers.length + consumers.length === 0) {
    place.replaceChildren(h("p", { class: "empty" }, "Nobody reads it."));
    return;
  }
  const counts = new Map(letters.map(({ queue, count }) => [queue, count]));
  const cards = readers.map((reader) => readerCard(reader, counts.get(reader.letters), now));
  const others = consumers.map(({ name, status, own }) =>
    h("li", { class: "reader" }, h("b", {}, name), h("span", { class: "facts" }, `enhanced fan-out, ${status.toLowerCase()}${own ? ": this page" : ""}`)),
  );
  place.replaceChildren(h("ul", { class: "readers", "aria-label": "Readers" }, ...cards, ...others));
}

function readerCard(reader, letters, now) {
  const { last } = reader;
  const isWrong = /^PROBLEM/i.test(reader.last_result ?? "");
  const failed = last?.failed ? `, ${whole(last.failed)} failed` : "";
  const batch = last ? `${counted(last.batches, "batch", "batches")}${failed}; last took ${duration(last.took_ms)}, ${ago(last.ended_ms, now)}` : "no batch yet";
  const more = [
    reader.consumer && `consumer ${reader.consumer}`,
    reader.window_s > 0 && `windows of ${reader.window_s} s`,
    `${counted(reader.batch_size, "record")} a batch at most`,
    reader.filters.length > 0 && counted(reader.filters.length, "filter"),
    letters > 0 && counted(letters, "dead letter"),
  ].filter(Boolean);
  const link = last && h("a", { href: `#requests/${encodeURIComponent(last.trace)}`, "data-key": reader.id }, "Its last batch");
  return h(
    "li",
    { class: "reader", "data-wrong": isWrong || letters > 0 },
    h("b", {}, reader.function),
    h("span", { class: "chip", "data-state": reader.state.toLowerCase() }, reader.state),
    h("span", { class: "lag" }, lagWords(reader, now)),
    h("span", { class: isWrong ? "problem" : "facts" }, isWrong ? reader.last_result : batch),
    h("span", { class: "facts" }, more.join("  ·  ")),
    link,
  );
}

/** Dead-letter queues, and on demand why their newest letters are there. */
export class Letters {
  constructor(backend) {
    this.backend = backend;
    this.read = new Map(); // what was told of a queue
    this.drawn = "";
  }

  draw(letters) {
    const drawn = JSON.stringify([letters, [...this.read]]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const focused = document.activeElement?.dataset.queue;
    const place = byId("letters");
    if (letters.length === 0) {
      place.replaceChildren(h("p", { class: "empty" }, "No reader of a stream has a queue for them."));
      return;
    }
    place.replaceChildren(h("ul", { class: "readers", "aria-label": "Dead-letter queues" }, ...letters.map((each) => this.#card(each))));
    if (focused) place.querySelector(`[data-queue="${CSS.escape(focused)}"]`)?.focus();
  }

  #card({ queue, count }) {
    const words = count === null ? "not there" : count === 0 ? "empty" : counted(count, "letter");
    const look = h("button", { type: "button", class: "quiet", "data-queue": queue, "aria-label": `Why: newest letters of ${queue}`, onclick: () => this.#look(queue, count) }, "Why?");
    return h("li", { class: "reader", "data-wrong": count > 0 }, h("b", {}, queue), h("span", { class: "facts" }, words), count > 0 && look, ...this.#reasons(queue, count));
  }

  #reasons(queue, count) {
    const told = this.read.get(queue);
    if (!told || !count) return [];
    if (told.problem) return [h("p", { class: "problem", role: "alert" }, told.problem)];
    const items = told.letters.map((letter) =>
      h("li", {}, h("b", {}, letter.reason), ` ${[letter.detail, letter.shard && shortId(letter.shard), counted(letter.records, "record"), moment(letter.sent_ms)].filter(Boolean).join("  ·  ")}`),
    );
    return [h("ol", { class: "reasons", "aria-label": `Newest letters of ${queue}` }, ...items)];
  }

  async #look(queue, count) {
    try {
      this.read.set(queue, await this.backend.local(`letters/${encodeURIComponent(queue)}`, { method: "POST" }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.read.set(queue, { letters: [], problem: error.message });
    }
    this.onRead?.(count);
  }
}
