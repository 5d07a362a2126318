// Open WebSockets of the local cloud: who is there, which one is this page's, and a way to cut each.

import { announce, byId, h, setText, throttle } from "./dom.js";
import { ago, counted } from "./format.js";
import { Problem } from "./problems.js";

const AGAIN_MS = 2_000; // for how long ago things were
const OWN_MS = 3_000; // a browser is not told its connection's id: it is the one opened when the page saw its own open

export class Connections {
  /** `openedMs()`: when the page saw its connection open, null while it has none. */
  constructor({ backend, feed, openedMs }) {
    Object.assign(this, { backend, openedMs });
    this.connections = new Map();
    this.rows = new Map();
    this.isShown = false;
    this.read = throttle(() => this.#read(), 300);
    feed.on("connection", ({ event, ...connection }) => this.#take(event, connection));
    feed.on("again", () => this.read());
    setInterval(() => this.isShown && this.#draw(), AGAIN_MS);
  }

  async show() {
    this.isShown = true;
    await this.#read();
  }

  hide() {
    this.isShown = false;
  }

  /** The id of this page's own connection, "" while it has none. */
  get own() {
    const openedMs = this.openedMs();
    if (openedMs === null) return "";
    const distance = (connection) => Math.abs(connection.connected_ms - openedMs);
    const [nearest] = [...this.connections.values()].sort((a, b) => distance(a) - distance(b));
    return nearest && distance(nearest) < OWN_MS ? nearest.id : "";
  }

  #take(event, connection) {
    if (event === "closed") this.connections.delete(connection.id);
    else this.connections.set(connection.id, connection);
    if (this.isShown) this.#draw();
  }

  async #read() {
    try {
      const { connections } = await this.backend.local("connections");
      this.connections = new Map(connections.map((connection) => [connection.id, connection]));
      if (this.isShown) this.#draw();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.rows.clear();
      byId("connection-list").replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  #draw() {
    const place = byId("connection-list");
    if (this.connections.size === 0) {
      this.rows.clear();
      place.replaceChildren(h("p", { class: "empty" }, "Nobody is connected. This page connects by itself; see the state above."));
      return;
    }
    if (this.rows.size === 0) place.replaceChildren(h("ul", { class: "connections", "aria-label": "Open connections" }));
    const list = place.querySelector("ul");
    for (const [id, { item }] of this.rows) {
      if (this.connections.has(id)) continue;
      item.remove();
      this.rows.delete(id);
    }
    const { own } = this;
    for (const connection of this.connections.values()) {
      const parts = this.rows.get(connection.id) ?? this.#make(connection.id, list);
      fill(parts, connection, connection.id === own);
    }
  }

  #make(id, list) {
    const who = h("strong", {});
    const own = h("span", { class: "chip" }, "This page");
    const facts = h("p", { class: "facts" });
    const cut = h("button", { type: "button", onclick: () => this.#cut(id, cut) }, "Cut");
    const item = h("li", { class: "card connection" }, h("div", { class: "who" }, who, own), h("code", {}, id), facts, cut);
    const parts = { item, who, own, facts, cut };
    this.rows.set(id, parts);
    list.append(item);
    return parts;
  }

  async #cut(id, button) {
    button.disabled = true;
    try {
      await this.backend.local(`connections/${encodeURIComponent(id)}`, { method: "DELETE" });
      announce("Cut. Its client comes back by itself.");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      announce(error.message);
    }
    await this.#read();
    button.disabled = false;
    if (!button.isConnected) byId("connection-list").querySelector("button")?.focus();
  }
}

function fill({ item, who, own, facts, cut }, connection, isOwn) {
  const name = connection.caller ?? "nobody in particular";
  setText(who, name);
  own.hidden = !isOwn;
  item.toggleAttribute("data-own", isOwn);
  const messages = `${counted(connection.messages_in, "message")} in, ${connection.messages_out.toLocaleString("en")} out`;
  const behind = connection.buffered_bytes > 0 ? `, ${connection.buffered_bytes.toLocaleString("en")} bytes not yet taken` : "";
  setText(facts, `Opened ${ago(connection.connected_ms)}  ·  ${messages}${behind}  ·  ${connection.api}/${connection.stage}`);
  cut.setAttribute("aria-label", isOwn ? "Cut this page's connection" : `Cut the connection of ${name}`);
}
