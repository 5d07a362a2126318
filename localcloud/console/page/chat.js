// The conversation: what was asked and answered, kept over a reload, and the box to ask in.

import { beginAnswer, isSettled, reopenAnswer } from "./answer.js";
import { announce, byId, eachFrame, h, throttle } from "./dom.js";
import { counted } from "./format.js";
import { newReq } from "./frames.js";
import { askMessage, fitsFrame, MESSAGE_BYTES, newFigures } from "./service.js";
import { countBytes } from "./text.js";
import { describe, TurnView } from "./turn.js";

const SAVE_MS = 400;
const NEAR_END_PX = 60;
const FORGOTTEN = "The service has forgotten the conversation; this question begins another.";
const MOST_SAID = 3_000; // characters that are read out unasked

export class Chat {
  /** `service` has `attach` and `cancel`; `onJob(prompt)` takes a prompt that is too long for a question. */
  constructor({ service, store, onJob, onAsked }) {
    Object.assign(this, { service, store, onJob, onAsked });
    this.entries = [];
    this.views = new Map();
    this.changed = new Set();
    this.said = new Map(); // what was announced of each answer last
    this.isAtEnd = true;
    this.log = byId("turns");
    this.box = byId("question");
    this.draw = eachFrame(() => this.#draw());
    this.save = throttle(() => this.#save(), SAVE_MS);
    this.#listen();
  }

  /** Shows what is kept, and goes on with what was not finished. */
  restore() {
    for (const kept of this.store.load("turns")) {
      if (typeof kept?.answer?.req !== "string" || typeof kept.answer.text !== "string") continue;
      const answer = { ...beginAnswer(kept.answer.req, { prompt: "" }), ...kept.answer };
      const figures = { ...newFigures(), ...kept.figures };
      if (isSettled(answer)) {
        this.#add({ answer, figures, link: "live", cancelling: false });
      } else {
        if (figures.askedMs !== null) figures.reconnects += 1;
        this.#attach(answer, figures);
      }
    }
    this.#draw();
    this.#scrollToEnd();
  }

  /** An answer has changed: service.js tells. */
  update(entry) {
    if (isForgotten(entry.answer)) {
      this.#askAlone(entry.answer);
      return;
    }
    const at = this.entries.findIndex((other) => other.answer.req === entry.answer.req);
    if (at >= 0) this.entries[at] = entry;
    this.changed.add(entry.answer.req);
    this.#announce(entry);
    this.draw();
    this.save();
    if (isSettled(entry.answer)) this.#save();
  }

  get open() {
    return this.entries.find((entry) => !isSettled(entry.answer));
  }

  stop() {
    if (this.open) this.service.cancel(this.open.answer.req);
  }

  focus() {
    this.box.focus({ preventScroll: true });
    this.#grow();
    if (this.isAtEnd) this.#scrollToEnd();
  }

  #listen() {
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#ask();
    });
    this.box.addEventListener("input", () => this.#grow());
    byId("stop").addEventListener("click", () => this.stop());
    byId("fresh").addEventListener("click", () => this.#begin());
    byId("newest").addEventListener("click", () => this.#scrollToEnd());
    byId("options").addEventListener("toggle", () => this.#keepEnd());
    this.log.addEventListener("scroll", () => {
      this.isAtEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END_PX;
      if (this.isAtEnd) byId("newest").hidden = true;
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing && !byId("chat").hidden) this.stop();
    });
    addEventListener("pagehide", () => this.#save());
    addEventListener("resize", () => this.#keepEnd());
  }

  #ask() {
    const prompt = this.box.value.trim();
    if (prompt === "" || this.open) return;
    if (!byId("composer").checkValidity()) {
      byId("options").open = true;
      byId("composer").reportValidity();
      return;
    }
    if (!this.#send({ prompt, ...readOptions(), ...this.#before() })) return;
    this.box.value = "";
    this.#grow();
  }

  // The newest turn that has an answer: the model is reminded of the conversation up to it.
  #before() {
    const last = this.entries.findLast((entry) => entry.answer.text !== "");
    return last ? { after: last.answer.req } : {};
  }

  // The service does not know the turn before this one any more (it expired, or a local cloud began anew).
  #askAlone({ req, question }) {
    const { after, ...alone } = question;
    this.entries = this.entries.filter((entry) => entry.answer.req !== req);
    this.views.get(req)?.element.remove();
    this.views.delete(req);
    this.#send(alone, FORGOTTEN);
  }

  #send(question, notice = "") {
    const answer = { ...beginAnswer(newReq(), wellFormed(question)), notice };
    if (!fitsFrame(askMessage(answer))) {
      this.#refuse(question.prompt);
      return false;
    }
    byId("too-long")?.remove();
    this.#attach(answer);
    this.onAsked();
    announce("Asked. The answer is on its way.");
    this.#draw();
    this.#scrollToEnd();
    return true;
  }

  #attach(answer, figures = newFigures()) {
    this.#add({ answer, figures, link: "cut", cancelling: false });
    this.service.attach(answer, figures);
  }

  #add(entry) {
    this.entries.push(entry);
    this.changed.add(entry.answer.req);
  }

  #refuse(prompt) {
    byId("too-long")?.remove();
    const makeJob = h("button", { type: "button", class: "quiet" }, "Make it a job");
    const size = Math.ceil(countBytes(prompt) / 1000);
    const text = `This is ${size} KB; a question may have ${MESSAGE_BYTES / 1000} KB. A job may be longer.`;
    const line = h("p", { id: "too-long", class: "problem", role: "alert" }, text, " ", makeJob);
    makeJob.addEventListener("click", () => {
      line.remove();
      this.box.value = "";
      this.#grow();
      this.onJob(prompt);
    });
    byId("composer").prepend(line);
  }

  #begin() {
    this.stop();
    this.entries = [];
    this.views.clear();
    this.log.replaceChildren();
    this.#save();
    this.#draw();
    this.box.focus();
  }

  #draw() {
    for (const entry of this.entries) {
      const { req } = entry.answer;
      if (!this.changed.has(req)) continue;
      const view = this.views.get(req);
      if (view) view.show(entry);
      else this.#show(entry);
    }
    this.changed.clear();
    if (this.entries.length === 0) this.log.replaceChildren(empty((text) => this.#suggest(text)));
    const { open } = this;
    const hadFocus = document.activeElement;
    byId("send").hidden = Boolean(open);
    byId("stop").hidden = !open;
    byId("hint-idle").hidden = Boolean(open);
    byId("hint-open").hidden = !open;
    byId("stop").disabled = Boolean(open?.cancelling);
    byId("fresh").hidden = this.entries.length === 0 || Boolean(open);
    if (hadFocus !== document.body && hadFocus?.offsetParent === null) this.box.focus({ preventScroll: true });
    if (!this.#keepEnd()) byId("newest").hidden = false;
  }

  #show(entry) {
    if (this.views.size === 0) this.log.replaceChildren();
    const view = new TurnView(entry, {
      onResume: (req) => this.#resume(req),
      onAgain: (answer) => this.open || this.#send(answer.question),
    });
    this.views.set(entry.answer.req, view);
    this.log.append(view.element);
  }

  #resume(req) {
    const entry = this.entries.find((other) => other.answer.req === req);
    if (entry && !this.open) this.service.attach(reopenAnswer(entry.answer), entry.figures);
  }

  #suggest(text) {
    this.box.value = text;
    this.#grow();
    this.box.focus();
  }

  #announce(entry) {
    const { req, state, text } = entry.answer;
    const note = describe(entry)?.text ?? "";
    const answer = text.length > MOST_SAID ? `An answer of ${counted(text.split(/\s+/).length, "word")} is there.` : `Answer: ${text}`;
    const saying = state === "finished" ? `${answer} ${note}` : note;
    if (saying === "" || this.said.get(req) === saying) return;
    this.said.set(req, saying);
    announce(saying);
  }

  #save() {
    this.store.save("turns", this.entries.map(({ answer, figures }) => ({ answer, figures })));
  }

  #grow() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight + 2, 240)}px`;
    this.#keepEnd();
  }

  #keepEnd() {
    if (this.isAtEnd) this.log.scrollTop = this.log.scrollHeight;
    return this.isAtEnd || this.log.scrollHeight <= this.log.clientHeight;
  }

  #scrollToEnd() {
    this.isAtEnd = true;
    byId("newest").hidden = true;
    this.#keepEnd();
  }
}

function readOptions() {
  const options = { system: byId("system").value.trim(), max_tokens: byId("max-tokens").value, temperature: byId("temperature").value };
  const question = {};
  if (options.system) question.system = options.system;
  if (options.max_tokens) question.max_tokens = Number(options.max_tokens);
  if (options.temperature) question.temperature = Number(options.temperature);
  return question;
}

// Half a surrogate pair is no text that the service takes.
function wellFormed(question) {
  const mend = (value) => (typeof value === "string" && value.toWellFormed ? value.toWellFormed() : value);
  return Object.fromEntries(Object.entries(question).map(([name, value]) => [name, mend(value)]));
}

const SUGGESTIONS = ["Why do locks lift boats?", "Explain back-pressure to a gardener.", "Write a haiku about queues."];

function empty(onChoose) {
  const choose = (text) => h("li", {}, h("button", { type: "button", class: "suggestion", onclick: () => onChoose(text) }, text));
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "Ask something"),
    h("p", {}, "The answer streams in as it is made. Cut the connection, reload the page: it goes on where it was. A question may refer to those before it; a new conversation forgets them."),
    h("ul", {}, ...SUGGESTIONS.map(choose)),
  );
}

function isForgotten({ state, problem, question, attempt }) {
  return state === "failed" && attempt === 0 && Boolean(question.after) && String(problem?.type).endsWith("/no-such-answer");
}
