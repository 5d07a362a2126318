// Beside the conversation, where there is room: what the local cloud does for the newest question, as it does it.

import { byId, h } from "./dom.js";
import { Waterfall } from "./waterfall.js";

// A resume shows where the work is only where it sends another worker; until then the question's own trace stays.
const MOST_WAITING = 20;

export class Rail {
  /** `isMine(connection)`: whether a span's connection is this page's own. */
  constructor({ feed, isMine, functions }) {
    this.isMine = isMine;
    this.functions = functions;
    this.trace = null;
    this.waterfall = null;
    this.resumed = new Map();
    feed.on("span", (span) => this.#take(span));
  }

  #take(span) {
    const isRoot = span.kind === "gateway" && span.trace !== this.trace && this.#isOurs(span);
    if (isRoot && (span.name === "ask" || (span.name === "resume" && this.trace === null))) this.#begin(span.trace);
    else if (isRoot && span.name === "resume") this.#wait(span.trace);
    this.resumed.get(span.trace)?.push(span);
    if (span.kind === "model" && this.resumed.has(span.trace)) this.#turnTo(span.trace);
    else if (span.trace === this.trace) this.waterfall.add([span]);
  }

  #wait(trace) {
    if (!this.resumed.has(trace)) this.resumed.set(trace, []);
    if (this.resumed.size > MOST_WAITING) this.resumed.delete(this.resumed.keys().next().value);
  }

  #turnTo(trace) {
    const spans = this.resumed.get(trace);
    this.resumed.delete(trace);
    this.#begin(trace);
    this.waterfall.add(spans);
  }

  #isOurs(span) {
    return !span.detail?.connection || this.isMine(span.detail.connection);
  }

  #begin(trace) {
    this.trace = trace;
    this.waterfall = new Waterfall("Waterfall of the newest question", this.functions);
    const more = h("a", { href: `#requests/${encodeURIComponent(trace)}` }, "Look closer");
    byId("rail-waterfall").replaceChildren(this.waterfall.element, more);
    byId("rail").hidden = false;
  }
}
