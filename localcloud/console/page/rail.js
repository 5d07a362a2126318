// Beside the conversation, where there is room: what the local cloud does for the newest question, as it does it.

import { byId, h } from "./dom.js";
import { Waterfall } from "./waterfall.js";

const ROOTS = new Set(["ask", "resume"]);

export class Rail {
  /** `isMine(connection)`: whether a span's connection is this page's own. */
  constructor({ feed, isMine, functions }) {
    this.isMine = isMine;
    this.functions = functions;
    this.trace = null;
    this.waterfall = null;
    feed.on("span", (span) => this.#take(span));
  }

  #take(span) {
    if (span.kind === "gateway" && ROOTS.has(span.name) && span.trace !== this.trace && this.#isOurs(span)) this.#begin(span.trace);
    if (span.trace === this.trace) this.waterfall.add([span]);
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
