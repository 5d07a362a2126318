// The story of a failover, the latest first, with the time since the Region was lost.

import { announce, h } from "./dom.js";
import { duration, moment } from "./format.js";

export class StoryList {
  constructor(place) {
    this.place = place;
    this.rows = new Map();
    this.isFirst = true;
  }

  draw({ story }) {
    const keys = story.map((entry) => `${entry.at_ms} ${entry.kind} ${entry.text}`);
    for (const [key, row] of this.rows) {
      if (keys.includes(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    const fresh = [];
    story.forEach((entry, at) => {
      const key = keys[at];
      if (!this.rows.has(key)) {
        this.rows.set(key, make(entry));
        fresh.push(entry.text);
      }
      const row = this.rows.get(key);
      if (this.place.children[at] !== row) this.place.insertBefore(row, this.place.children[at] ?? null);
    });
    if (fresh.length > 0 && !this.isFirst) announce(fresh.join(". "));
    if (this.place.nextElementSibling) this.place.nextElementSibling.hidden = story.length > 0;
    this.isFirst = false;
  }
}

function make({ at_ms, text, tone, since_ms, kind }) {
  const since = since_ms === null || kind === "killed" ? "" : `+${duration(since_ms)}`;
  return h(
    "li",
    { "data-tone": tone, "data-kind": kind },
    h("time", { datetime: new Date(at_ms).toISOString() }, moment(at_ms)),
    h("span", { class: "since", title: since && "since the Region was lost" }, since),
    h("span", { class: "told" }, text),
  );
}
