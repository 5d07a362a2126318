// Log lines of the functions, as they come, narrowed by function, by text and by request.

import { byId, eachFrame, h } from "./dom.js";
import { readLine } from "./logline.js";
import { Problem } from "./problems.js";

const FIRST_LINES = 300;
const KEPT_LINES = 3_000;
const SHOWN_LINES = 600;

export class Logs {
  constructor({ backend, feed, functions }) {
    this.backend = backend;
    this.lines = [];
    this.ids = null; // of the request whose lines are shown: {trace, words}
    this.isRead = false;
    this.isShown = false;
    this.count = 0;
    this.draw = eachFrame(() => this.isShown && this.#draw());
    this.view = byId("log-lines");
    byId("log-function").append(...Object.keys(functions).sort().map((name) => h("option", { value: name }, name)));
    byId("log-filter").addEventListener("input", () => this.draw());
    byId("log-filter").addEventListener("submit", (event) => event.preventDefault());
    this.view.addEventListener("scroll", () => this.#followScroll());
    feed.on("log", (line) => this.#take([line]));
    feed.on("again", () => this.#read());
  }

  /** Shows the view; of one request's lines alone where `trace` names it. */
  async show(trace) {
    this.isShown = true;
    if (!this.isRead) await this.#read();
    await this.#narrow(trace);
    this.#draw();
  }

  hide() {
    this.isShown = false;
  }

  async #read() {
    try {
      const { logs } = await this.backend.local(`logs?n=${FIRST_LINES}`);
      this.isRead = true;
      const since = logs.at(-1)?.timestamp_ms ?? 0;
      const later = this.lines.filter((line) => line.timestamp_ms > since);
      this.lines = [];
      this.#take([...logs, ...later]);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.view.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  #take(lines) {
    for (const line of lines) {
      const text = line.record ? JSON.stringify(line.record) : String(line.message ?? "");
      this.lines.push({ ...line, text: text.toLowerCase(), number: (this.count += 1) });
    }
    this.lines.splice(0, this.lines.length - KEPT_LINES);
    this.draw();
  }

  async #narrow(trace) {
    this.ids = null;
    if (trace) {
      const words = [trace.toLowerCase()];
      try {
        const { spans } = await this.backend.local(`traces/${encodeURIComponent(trace)}`);
        for (const { detail } of spans) {
          for (const id of [detail?.request_id, detail?.message_id]) if (id) words.push(String(id).toLowerCase());
        }
      } catch (error) {
        if (!(error instanceof Problem)) throw error; // its own id will do
      }
      this.ids = { trace, words: [...new Set(words)] };
    }
    const line = byId("log-trace");
    line.hidden = !trace;
    const request = h("a", { href: `#requests/${encodeURIComponent(trace ?? "")}` }, "one request");
    line.replaceChildren("Lines of ", request, " only. ", h("a", { href: "#logs" }, "Show all"));
  }

  #isWanted(line) {
    const name = byId("log-function").value;
    const text = byId("log-text").value.trim().toLowerCase();
    if (name && line.function !== name) return false;
    if (this.ids && !this.ids.words.some((word) => line.text.includes(word))) return false;
    return text === "" || line.text.includes(text) || String(line.function).toLowerCase().includes(text);
  }

  #draw() {
    const wanted = this.lines.filter((line) => this.#isWanted(line)).slice(-SHOWN_LINES);
    if (wanted.length === 0) {
      const why = this.lines.length === 0 ? "No log lines yet. They come with the first call of a function." : "No line fits. Take a filter away to see more.";
      this.view.replaceChildren(h("p", { class: "empty" }, why));
      return;
    }
    const first = wanted[0].number;
    for (const row of [...this.view.children]) if (!(Number(row.dataset.number) >= first)) row.remove();
    let at = 0;
    for (const line of wanted) {
      while (this.view.children[at] && Number(this.view.children[at].dataset.number) < line.number) this.view.children[at].remove();
      if (Number(this.view.children[at]?.dataset.number) !== line.number) this.view.insertBefore(rowOf(line), this.view.children[at] ?? null);
      at += 1;
    }
    while (this.view.children.length > at) this.view.lastElementChild.remove();
    if (byId("log-follow").checked) this.view.scrollTop = this.view.scrollHeight;
  }

  #followScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.view;
    if (scrollHeight > clientHeight) byId("log-follow").checked = scrollHeight - scrollTop - clientHeight < 40;
  }
}

function rowOf(line) {
  const { level, words, fields } = readLine(line);
  const isPlain = level === "" && line.record !== null;
  const told = h("span", { class: "words" }, words);
  for (const [name, value] of fields) told.append(" ", h("span", { class: "field" }, `${name}=`), value);
  return h(
    "p",
    { class: "log-line", "data-number": line.number, "data-level": level || null, "data-platform": isPlain },
    h("time", {}, clock(line.timestamp_ms)),
    h("span", { class: "function" }, line.function),
    h("span", { class: "level" }, level),
    told,
  );
}

function clock(ms) {
  const date = new Date(ms);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return `${parts.join(":")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
