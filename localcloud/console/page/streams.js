// The view of the streaming mesh: asks how things are while it is looked at, and gives each part its own.

import { byId, h, setText } from "./dom.js";
import { counted, perSecond, size, whole } from "./format.js";
import { drawRollups, drawRules, drawSubscribers } from "./meshlists.js";
import { Problem } from "./problems.js";
import { Publish } from "./publish.js";
import { drawReaders, Letters } from "./readers.js";
import { Replays } from "./replay.js";
import { drawShards, shortId } from "./shards.js";
import { Tail } from "./tail.js";

const AGAIN_MS = 2_000;
const DEMO = { rate: 8, seconds: 60 };

export class Streams {
  constructor({ backend, feed }) {
    this.backend = backend;
    this.isShown = false;
    this.chosen = null; // a stream's name
    this.timer = null;
    this.drawn = new Map();
    this.replays = new Replays({ backend, feed });
    this.tail = new Tail({ backend, onChoose: (record) => this.replays.choose(record) });
    this.publish = new Publish({ backend, onStored: () => this.#read() });
    this.letters = new Letters(backend);
    this.letters.onRead = () => this.letters.draw(this.told?.letters ?? []);
    byId("stream-name").addEventListener("change", () => {
      this.chosen = byId("stream-name").value;
      if (this.told) this.#draw(this.told);
    });
    byId("demo-button").addEventListener("click", () => this.#demo());
    document.addEventListener("visibilitychange", () => this.isShown && this.#look());
  }

  async show() {
    this.isShown = true;
    await this.#look();
  }

  hide() {
    this.isShown = false;
    this.#rest();
  }

  // A page that nobody looks at reads nothing: a browser keeps few connections open to one place.
  async #look() {
    if (document.hidden) this.#rest();
    else await this.#read();
  }

  #rest() {
    clearTimeout(this.timer);
    this.tail.read(null);
  }

  async #read() {
    clearTimeout(this.timer);
    try {
      this.told = await this.backend.local("streams");
      this.#complain("");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#complain(error.message);
    }
    if (!this.isShown || document.hidden) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#read(), AGAIN_MS);
    if (this.told) this.#draw(this.told);
  }

  #draw(told) {
    const { streams } = told;
    const stream = streams.find(({ name }) => name === this.chosen) ?? streams[0] ?? null;
    byId("mesh").hidden = stream === null;
    byId("streams-empty").hidden = stream !== null;
    this.#offerStreams(streams, stream);
    this.#drawDemo(told);
    this.tail.read(stream?.name ?? null);
    if (stream === null) return;
    this.#drawStream(stream);
    const readers = told.readers.filter((reader) => reader.stream === stream.name);
    this.#once("readers", [readers, stream.consumers, told.letters, Math.floor(told.now_ms / AGAIN_MS)], (place) =>
      drawReaders(place, { readers, consumers: stream.consumers, letters: told.letters, now: told.now_ms }),
    );
    this.letters.draw(told.letters);
    this.replays.offer(readers);
    this.replays.showAll(told.replays);
    this.publish.offer(told.topics);
    byId("rules-card").hidden = told.filtered === null;
    this.#once("rules", [told.rules, told.filtered], (place) => drawRules(place, told.rules, told.filtered));
    this.#once("subscribers", [told.subscribers, told.channels], (place) => drawSubscribers(place, told.subscribers, told.channels));
    byId("rollups-card").hidden = told.rollups.length === 0;
    this.#once("rollups", told.rollups, (place) => drawRollups(place, told.rollups, told.now_ms));
  }

  #drawStream({ name, mode, status, retention_h, records_s, bytes_s, shards, is_whole }) {
    const modes = { ON_DEMAND: "on demand", PROVISIONED: "provisioned" };
    const flow = records_s === null ? "" : `${perSecond(records_s)} records/s, ${size(bytes_s)}/s in  ·  `;
    setText(byId("stream-title"), name);
    const open = shards.filter((shard) => shard.open).length;
    setText(byId("stream-facts"), `${flow}${modes[mode] ?? mode}, ${counted(open, "open shard")}  ·  kept for ${whole(retention_h)} h${status === "ACTIVE" ? "" : `  ·  ${status.toLowerCase()}`}`);
    const width = Math.max(240, byId("shards").clientWidth);
    this.#once("shards", [shards, width], (place) => place.replaceChildren(drawShards(shards, width)));
    this.#once("shard-list", [shards, is_whole], (place) => place.replaceChildren(shardTable(shards), is_whole ? "" : h("p", { class: "facts" }, "There are more.")));
  }

  #offerStreams(streams, stream) {
    byId("stream-choice").hidden = streams.length < 2;
    this.#once("stream-name", streams.map(({ name }) => name), (place) => place.replaceChildren(...streams.map(({ name }) => h("option", {}, name))));
    if (stream) byId("stream-name").value = stream.name;
  }

  #drawDemo({ topics, demo }) {
    byId("demo").hidden = Object.keys(topics).length === 0;
    setText(byId("demo-button"), demo?.running ? "Stop sending" : "Send demo orders");
    const words = demo === null ? "" : demo.error || `${whole(demo.sent)} of ${whole(demo.total)} sent`;
    setText(byId("demo-state"), words);
  }

  async #demo() {
    const topics = Object.keys(this.told?.topics ?? {});
    const topic = topics.find((name) => this.told.topics[name] === this.tail.stream) ?? topics[0];
    try {
      if (this.told.demo?.running) await this.backend.local("demo", { method: "DELETE" });
      else await this.backend.local("demo", { method: "POST", body: { topic, ...DEMO } });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#complain(error.message);
      return;
    }
    await this.#read();
  }

  // Draws a part anew only where what it shows has changed, so that selections and open lists are left alone.
  #once(id, value, draw) {
    const text = JSON.stringify(value);
    if (this.drawn.get(id) === text) return;
    this.drawn.set(id, text);
    const place = byId(id);
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    draw(place);
    if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #complain(sentence) {
    byId("streams-problem").hidden = !sentence;
    setText(byId("streams-problem"), sentence);
  }
}

function shardTable(shards) {
  const names = ["Shard", "State", "Hash keys", "Parents", "Records/s"];
  const rows = shards.map((shard) => {
    const parents = shard.parents.length ? shard.parents.map(shortId).join(", ") : "none";
    const keys = `${(100 * shard.from).toFixed(1)} to ${(100 * shard.to).toFixed(1)} %`;
    const flow = shard.records_s === null ? "" : `${perSecond(shard.records_s)}`;
    const state = shard.open ? (shard.hot ? "open, hot" : "open") : "closed";
    const cells = [shard.id, state, keys, parents, flow].map((text, at) => h("td", { role: "cell", "data-name": names[at] }, text));
    return h("tr", { role: "row" }, ...cells);
  });
  // Named, for on a narrow screen the cells of a row stand below one another, and it would be no table.
  const heads = names.map((text) => h("th", { scope: "col", role: "columnheader" }, text));
  return h("table", { role: "table" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)), h("tbody", { role: "rowgroup" }, ...rows));
}
