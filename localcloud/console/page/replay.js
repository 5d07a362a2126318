// Sends a part of a stream to one of its readers once more, shows how far that is, and ends it.

import { announce, byId, h, setText } from "./dom.js";
import { moment, whole } from "./format.js";
import { Problem } from "./problems.js";

const WORDS = { running: "Running", done: "Done", cancelled: "Cancelled", failed: "Failed" };

/** How far a replay is, in words. */
export function replayWords({ state, done, refused, shards, shards_done, error, reasons }) {
  const parts = [WORDS[state] ?? state, `${whole(done)} sent`];
  if (refused > 0) parts.push(`${whole(refused)} refused${reasons.length ? ` (${reasons[0].reason})` : ""}`);
  if (shards > 0) parts.push(`${whole(shards_done)} of ${whole(shards)} shards`);
  if (error) parts.push(error);
  return parts.join("  ·  ");
}

export class Replays {
  constructor({ backend, feed }) {
    this.backend = backend;
    this.rows = new Map();
    this.sinceMs = null; // of the record that was chosen
    this.readers = "";
    feed.on("replay", (replay) => this.take(replay));
    byId("replay-from").addEventListener("change", () => this.#showTime());
    byId("replay-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
  }

  /** The readers that there are to choose from. */
  offer(readers) {
    const drawn = JSON.stringify(readers.map(({ id, function: name, window_s }) => [id, name, window_s]));
    if (drawn === this.readers) return;
    this.readers = drawn;
    const select = byId("replay-reader");
    const chosen = select.value;
    const options = readers.map(({ id, function: name, window_s }) => h("option", { value: id, disabled: window_s > 0 }, window_s > 0 ? `${name} (counts in windows)` : name));
    select.replaceChildren(...options);
    const first = readers.find(({ window_s }) => window_s === 0);
    select.value = readers.some(({ id }) => id === chosen) ? chosen : (first?.id ?? "");
    byId("replay").hidden = !first;
  }

  /** From this record on: it and all that arrived with it or later. */
  choose(record) {
    this.sinceMs = record.arrived_ms;
    const option = byId("replay-from").querySelector('[value="record"]');
    option.disabled = false;
    setText(option, `Record of ${record.key}, ${moment(record.arrived_ms)}`);
    byId("replay-from").value = "record";
    this.#showTime();
    byId("replay-reader").focus();
    announce(`Replay from the record of ${record.key}`);
  }

  showAll(replays) {
    for (const replay of [...replays].reverse()) this.take(replay);
  }

  take(replay) {
    const parts = this.rows.get(replay.id) ?? this.#make(replay);
    setText(parts.words, replayWords(replay));
    parts.item.dataset.state = replay.state;
    parts.bar.value = replay.fraction;
    const isOver = replay.state !== "running";
    if (isOver && !parts.cancel.hidden) announce(`Replay to ${replay.function}: ${WORDS[replay.state]}`);
    if (isOver && document.activeElement === parts.cancel) byId("replay-title").focus();
    parts.cancel.hidden = isOver;
  }

  #make({ id, function: name, rate }) {
    const words = h("span", { class: "facts" });
    const bar = h("progress", { max: "1", value: "0", "aria-label": `Replay to ${name}` });
    const cancel = h("button", { type: "button", class: "quiet", "aria-label": `Cancel the replay to ${name}`, onclick: () => this.#cancel(id) }, "Cancel");
    const item = h("li", {}, h("b", {}, `${name}, ${whole(rate)} a second`), cancel, bar, words);
    const parts = { item, words, bar, cancel };
    this.rows.set(id, parts);
    byId("replay-list").prepend(item);
    return parts;
  }

  #showTime() {
    byId("replay-when").hidden = byId("replay-from").value !== "time";
    byId("replay-time").required = byId("replay-from").value === "time";
  }

  async #begin() {
    const from = byId("replay-from").value;
    const time = from === "time" ? new Date(byId("replay-time").value).getTime() : 0;
    const body = { reader: byId("replay-reader").value, since_ms: from === "record" ? this.sinceMs : time, rate: Number(byId("replay-rate").value) };
    await this.#do(async () => this.take(await this.backend.local("replays", { method: "POST", body })));
  }

  async #cancel(id) {
    await this.#do(() => this.backend.local(`replays/${encodeURIComponent(id)}`, { method: "DELETE" }));
  }

  async #do(call) {
    try {
      await call();
      byId("replay-problem").hidden = true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      byId("replay-problem").hidden = false;
      setText(byId("replay-problem"), error.message);
    }
  }
}
