// What happens in the local cloud, as it happens: one stream of server-sent events for all views.

const KINDS = ["span", "log", "connection", "replay", "regions"];

export class Feed {
  constructor(url, EventSource = globalThis.EventSource) {
    this.listeners = new Map();
    this.url = url;
    this.EventSource = EventSource;
    this.source = null;
  }

  /** `call(value)` for every event of `kind`: span, log, connection, replay, regions, or `again` when some were missed: read anew. */
  on(kind, call) {
    this.listeners.set(kind, [...(this.listeners.get(kind) ?? []), call]);
  }

  start() {
    this.source = new this.EventSource(this.url);
    let isFirst = true;
    this.source.onopen = () => {
      if (!isFirst) this.#tell("again", null);
      isFirst = false;
    };
    for (const kind of KINDS) this.source.addEventListener(kind, (event) => this.#tell(kind, JSON.parse(event.data)));
    this.source.addEventListener("dropped", () => this.#tell("again", null));
  }

  #tell(kind, value) {
    for (const call of this.listeners.get(kind) ?? []) call(value);
  }
}
