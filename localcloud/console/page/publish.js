// Publishes one record through the service's own API, with the token that the chat has, and shows what became of it.

import { byId, h, setText } from "./dom.js";
import { Problem } from "./problems.js";
import { shortId } from "./shards.js";

/** What the service says of one record: {ok, words}. */
export function receiptWords(result) {
  if (result?.seq) return { ok: true, words: `Stored in ${shortId(result.shard)}, sequence number ${result.seq}${result.sub === undefined ? "" : `/${result.sub}`}` };
  return { ok: false, words: result?.problem ? `${result.problem.title}.` : "The service did not say what became of it." };
}

export class Publish {
  /** `onStored()`: a record was stored. */
  constructor({ backend, onStored }) {
    Object.assign(this, { backend, onStored, stream: null });
    byId("publish-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
  }

  /** `topics`: each with its stream's name. The topic is that of the stream that is looked at, until another is chosen. */
  offer(topics) {
    const names = Object.keys(topics);
    const select = byId("publish-topic");
    byId("publish").hidden = names.length === 0 || this.backend.api === null;
    if ([...select.options].map((option) => option.value).join() !== names.join()) {
      select.replaceChildren(...names.map((name) => h("option", {}, name)));
      this.stream = null;
    }
    const stream = byId("stream-name").value;
    if (stream === this.stream) return;
    this.stream = stream;
    const topic = names.find((name) => topics[name] === stream);
    if (topic !== undefined) select.value = topic;
  }

  async #publish() {
    const box = byId("publish-data");
    let data = null;
    try {
      data = JSON.parse(box.value);
    } catch (error) {
      this.#complain(`That is not JSON: ${error.message}`);
      box.focus();
      return;
    }
    const button = byId("publish-form").querySelector("button");
    button.disabled = true;
    try {
      const path = `/topics/${encodeURIComponent(byId("publish-topic").value)}/records`;
      const { body } = await this.backend.call(path, { method: "POST", body: { records: [{ key: byId("publish-key").value, data }] } });
      this.#show(body);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#complain(error.message);
    } finally {
      button.disabled = false;
    }
  }

  #show(body) {
    const { ok, words } = receiptWords(body?.records?.[0]);
    this.#complain(ok ? "" : words);
    if (!ok) return;
    byId("publish-receipt").replaceChildren(h("p", { class: "receipt" }, words));
    this.onStored();
  }

  #complain(sentence) {
    byId("publish-problem").hidden = !sentence;
    setText(byId("publish-problem"), sentence);
    if (sentence) byId("publish-receipt").replaceChildren();
  }
}
