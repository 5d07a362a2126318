// The list of requests to the local cloud, and what was done for the one that is looked at.

import { byId, h, setText, throttle } from "./dom.js";
import { counted, duration, moment } from "./format.js";
import { Problem } from "./problems.js";
import { Waterfall } from "./waterfall.js";

const AGAIN_MS = 400;

export class Requests {
  constructor({ backend, feed, functions }) {
    this.backend = backend;
    this.functions = functions;
    this.trace = null; // the one that is looked at
    this.known = new Set(); // it, and those that are linked with it
    this.waterfall = null;
    this.isShown = false;
    this.items = new Map();
    this.refresh = throttle(() => this.isShown && this.#list(), AGAIN_MS);
    feed.on("span", (span) => this.#take(span));
    feed.on("again", () => this.refresh());
  }

  /** Shows the view, with one request open where `trace` names it. */
  async show(trace) {
    this.isShown = true;
    await this.#list();
    if (trace && trace !== this.trace) await this.#open(trace);
    if (!trace) this.#close();
  }

  hide() {
    this.isShown = false;
  }

  #take(span) {
    this.refresh();
    if (this.waterfall && this.known.has(span.trace)) this.waterfall.add([span]);
  }

  async #list() {
    let traces = [];
    try {
      ({ traces } = await this.backend.local("traces?n=100"));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      byId("trace-list").replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
      return;
    }
    if (traces.length === 0) {
      this.items.clear();
      byId("trace-list").replaceChildren(h("p", { class: "empty" }, "No requests yet. Ask something in the chat, or call an endpoint; each request shows here as it runs."));
      return;
    }
    this.#fillList(traces);
  }

  #fillList(traces) {
    let list = byId("trace-list").querySelector("ol");
    if (!list) {
      this.items.clear();
      list = h("ol", { "aria-label": "Requests, latest first" });
      byId("trace-list").replaceChildren(list);
    }
    const longest = Math.max(1, ...traces.map((trace) => trace.duration_ms ?? 0));
    const kept = new Set(traces.map((trace) => trace.trace));
    for (const [id, { item }] of this.items) {
      if (kept.has(id)) continue;
      item.remove();
      this.items.delete(id);
    }
    traces.forEach((trace, at) => {
      const parts = this.items.get(trace.trace) ?? this.#make(trace);
      if (list.children[at] !== parts.item) list.insertBefore(parts.item, list.children[at] ?? null);
      fillItem(parts, trace, longest);
    });
    this.#mark();
  }

  #make(trace) {
    const name = h("span", { class: "name" });
    const facts = h("span", { class: "facts" });
    const bar = h("i", { "aria-hidden": "true" });
    const link = h("a", { href: `#requests/${encodeURIComponent(trace.trace)}` }, name, facts, bar);
    const parts = { item: h("li", {}, link), link, name, facts, bar };
    this.items.set(trace.trace, parts);
    return parts;
  }

  #mark() {
    for (const [id, { link }] of this.items) {
      if (id === this.trace) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  async #open(trace) {
    this.trace = trace;
    this.known = new Set([trace]);
    this.waterfall = null;
    byId("requests").dataset.open = "true";
    this.#mark();
    const back = h("a", { href: "#requests", class: "back" }, "All requests");
    try {
      const { spans, links = [] } = await this.backend.local(`traces/${encodeURIComponent(trace)}`);
      if (this.trace !== trace) return;
      this.#showTrace(back, spans, links);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const gone = error.status === 404 ? "This request is no longer kept. Make it again to see it." : error.message;
      byId("trace").replaceChildren(back, h("p", { class: "problem", role: "alert" }, gone));
    }
  }

  #showTrace(back, spans, links) {
    this.known = new Set([this.trace, ...links, ...spans.map((span) => span.trace)]);
    const [first] = [...spans].sort((a, b) => a.start_ms - b.start_ms);
    const title = h("h2", { tabindex: "-1" }, first?.name ?? "Request");
    const facts = h("p", { class: "facts" }, first ? moment(first.start_ms) : "");
    const logs = h("a", { href: `#logs/${encodeURIComponent(this.trace)}` }, "Its log lines");
    const linked = links.map((link) => h("a", { href: `#requests/${encodeURIComponent(link)}` }, "A request in the same batch"));
    this.waterfall = new Waterfall(`Waterfall of ${first?.name ?? "a request"}`, this.functions);
    const id = h("code", {}, this.trace);
    byId("trace").replaceChildren(back, h("header", {}, title, facts, id, h("p", { class: "links" }, logs, ...linked)), this.waterfall.element);
    this.waterfall.add(spans);
    title.focus({ preventScroll: true });
  }

  #close() {
    this.trace = null;
    this.waterfall = null;
    delete byId("requests").dataset.open;
    byId("trace").replaceChildren(h("p", { class: "empty" }, "Choose a request to see where its time went."));
    this.#mark();
  }
}

function fillItem({ link, name, facts, bar }, trace, longest) {
  const took = trace.duration_ms === null ? "running" : duration(trace.duration_ms);
  setText(name, trace.name);
  setText(facts, `${moment(trace.start_ms)}  ·  ${took}  ·  ${counted(trace.spans, "span")}${trace.status === "error" ? "  ·  error" : ""}`);
  link.dataset.kind = trace.kind;
  link.dataset.status = trace.status;
  bar.style.width = `${Math.max(0.5, (100 * (trace.duration_ms ?? longest)) / longest).toFixed(2)}%`;
}
