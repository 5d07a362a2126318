// One question and its answer on the page.

import { ENDED, isSettled } from "./answer.js";
import { h, setText } from "./dom.js";
import { figurePhrases, whole } from "./format.js";
import { MarkdownView } from "./markdown.js";
import { problemSentence } from "./problems.js";

const STOPS = {
  max_tokens: "It ended at the most tokens that were allowed.",
  size_limit: "It ended at the largest size that is kept.",
};

/** What is to be said of an answer beside its text: {text, tone: busy, calm or problem}, or null. */
export function describe({ answer, figures, link, cancelling }) {
  const resumed = figures.resumedAt === null ? "" : `Resumed at character ${whole(figures.resumedAt)}.`;
  if (answer.state === "stopped") return { text: answer.text ? "Stopped." : "Stopped before the first word.", tone: "calm" };
  if (answer.state === "failed" || answer.state === "paused") {
    const taken = answer.retracted ? "A guardrail took the text back. " : "";
    return { text: taken + problemSentence(answer.problem), tone: "problem" };
  }
  if (answer.state === "finished") {
    const text = [answer.notice, STOPS[answer.stopReason], resumed].filter(Boolean).join(" ");
    return text ? { text, tone: "calm" } : null;
  }
  if (cancelling) return { text: "Stopping…", tone: "busy" };
  if (link === "cut") return { text: figures.askedMs === null ? "Waiting for a connection…" : "Reconnecting…", tone: "busy" };
  if (link === "resuming") return { text: `Asking for the rest, from character ${whole(answer.length)}…`, tone: "busy" };
  const text = [answer.notice, resumed].filter(Boolean).join(" ");
  return text ? { text, tone: "calm" } : null;
}

/** `actions`: {onResume(req), onAgain(turn)}. */
export class TurnView {
  constructor(entry, actions) {
    this.entry = entry;
    this.text = h("div", { class: "text" });
    this.markdown = new MarkdownView(this.text);
    this.wait = h("p", { class: "wait" }, h("span", { class: "unseen" }, "Waiting for the first token"), h("i"), h("i"), h("i"));
    this.note = h("p", { class: "note", hidden: true });
    this.figures = h("p", { class: "figures" });
    this.copy = h("button", { type: "button", class: "quiet", onclick: () => this.#copy() }, "Copy");
    this.resume = h("button", { type: "button", class: "quiet", onclick: () => actions.onResume(this.entry.answer.req) }, "Go on");
    this.again = h("button", { type: "button", class: "quiet", onclick: () => actions.onAgain(this.entry.answer) }, "Ask again");
    const foot = h("footer", {}, this.figures, h("span", { class: "buttons" }, this.resume, this.again, this.copy));
    this.answer = h("div", { class: "answer", role: "group", "aria-label": "Answer" }, this.text, this.wait, this.note, foot);
    const question = h("div", { class: "question", role: "group", "aria-label": "Question" }, h("p", {}, entry.answer.question.prompt));
    this.element = h("article", { class: "turn" }, question, this.answer);
    this.show(entry);
  }

  show(entry) {
    this.entry = entry;
    const { answer, figures } = entry;
    const isOpen = !isSettled(answer);
    const note = describe(entry);
    this.markdown.show(answer.text);
    this.answer.setAttribute("aria-busy", String(isOpen));
    this.answer.dataset.state = answer.state;
    this.wait.hidden = !(isOpen && answer.text === "" && entry.link === "live");
    this.note.hidden = note === null;
    setText(this.note, note?.text ?? "");
    this.note.dataset.tone = note?.tone ?? "";
    setText(this.figures, figurePhrases(answer, figures).map(unbroken).join("  ·  "));
    this.copy.hidden = isOpen || answer.text === "";
    this.resume.hidden = answer.state !== "paused";
    this.again.hidden = !ENDED.has(answer.state) || answer.state === "finished";
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.entry.answer.text);
      setText(this.copy, "Copied");
    } catch {
      setText(this.copy, "The browser forbids copying");
    }
    setTimeout(() => setText(this.copy, "Copy"), 2_000);
  }
}

function unbroken(phrase) {
  return phrase.replaceAll(" ", "\u00a0");
}
