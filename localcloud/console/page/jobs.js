// Buffered jobs: sent over the socket where it is open, else over HTTP; their ends come over the socket or are asked for.
//
// A job is {req, jobId, prompt, state, submittedMs, endedMs, text, stopReason, problem}. `req` is the idempotency key as
// well, so that sending again is safe. States: sending, queued, running, succeeded, failed (docs/jobs.md).

import { announce, byId, eachFrame, h, setText } from "./dom.js";
import { ago, duration } from "./format.js";
import { newReq } from "./frames.js";
import { fitsFrame } from "./service.js";
import { MarkdownView } from "./markdown.js";
import { Problem, problemSentence } from "./problems.js";

const ENDED = new Set(["succeeded", "failed"]);
const POLL_MS = [500, 1_000, 2_000, 2_000, 3_000, 5_000]; // then every 5 s; Retry-After says 2 s
const SLOWLY = POLL_MS.length; // news over the socket are sent at best, so they are checked now and then
const NEWS_MS = 20_000; // without any news: then its id is asked for
const MOST_PROMPT = 262_144; // characters: docs/jobs.md
const WORDS = { sending: "Sending", queued: "Queued", running: "Running", succeeded: "Done", failed: "Failed" };

export class Jobs {
  constructor({ service, backend, store }) {
    Object.assign(this, { service, backend, store });
    this.jobs = store.load("jobs").filter((job) => typeof job?.req === "string");
    this.views = new Map();
    this.polls = new Map();
    this.draw = eachFrame(() => this.#draw());
    byId("job-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("job-prompt").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId("job-form").requestSubmit();
    });
  }

  restore() {
    this.#draw();
    for (const job of this.jobs) if (!ENDED.has(job.state) && job.jobId) this.#poll(job, 0);
    setInterval(() => this.draw(), 5_000); // how long ago
  }

  /** Puts a prompt into the form. */
  propose(prompt) {
    byId("job-prompt").value = prompt;
    byId("job-prompt").focus();
  }

  /** A frame for a job that was submitted over the socket. One for no request is about the longest unanswered one. */
  take(req, frame) {
    const isIts = req === "" ? (job) => job.state === "sending" : (job) => job.req === req;
    const job = this.jobs.find(isIts);
    if (!job || ENDED.has(job.state)) return;
    const { data } = frame;
    if (typeof data.job_id === "string") job.jobId = data.job_id;
    if (frame.kind === "ping") {
      this.#become(job, data.state === "running" ? "running" : "queued");
      if (job.jobId) this.#poll(job, SLOWLY);
    }
    if (frame.kind === "error") this.#end(job, null, data);
    else if (frame.kind === "final" && data.result) this.#end(job, data.result, null);
    else if (frame.kind === "final") this.#poll(job, 0); // too large for a message
  }

  /** The connection is open again: what it was to bring may have been lost with the last one. */
  reconnect() {
    for (const job of this.jobs) if (!ENDED.has(job.state)) this.#send(job);
  }

  #submit() {
    const prompt = byId("job-prompt").value.trim();
    const problem = [...prompt].length > MOST_PROMPT ? `A job may have ${MOST_PROMPT.toLocaleString("en")} characters.` : "";
    setText(byId("job-problem"), problem);
    byId("job-problem").hidden = problem === "";
    if (prompt === "" || problem) return;
    byId("job-prompt").value = "";
    this.#begin(prompt);
  }

  #begin(prompt) {
    const job = { req: newReq("j"), jobId: null, prompt, state: "sending", submittedMs: Date.now(), endedMs: null };
    this.jobs.push(job);
    byId("job-prompt").focus();
    announce("Job submitted");
    this.#changed();
    this.#send(job);
  }

  async #send(job) {
    if (job.jobId) {
      this.#poll(job, 0);
      return;
    }
    const request = { prompt: job.prompt };
    const isShort = fitsFrame({ action: "submit", req: job.req, job: request });
    if (isShort && this.service.submit(job.req, request)) {
      clearTimeout(this.polls.get(job.req));
      this.polls.set(job.req, setTimeout(() => job.jobId || ENDED.has(job.state) || this.#post(job), NEWS_MS));
    } else {
      await this.#post(job);
    }
  }

  async #post(job) {
    const headers = { "idempotency-key": job.req };
    try {
      const { body } = await this.backend.call("/jobs", { method: "POST", body: { prompt: job.prompt }, headers });
      job.jobId = body.job_id;
      this.#become(job, "queued");
      this.#poll(job, 0);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#end(job, null, error.members);
    }
  }

  #poll(job, turn) {
    clearTimeout(this.polls.get(job.req));
    const wait = POLL_MS[Math.min(turn, POLL_MS.length - 1)];
    this.polls.set(job.req, setTimeout(() => this.#look(job, turn), wait));
  }

  async #look(job, turn) {
    if (ENDED.has(job.state)) return;
    try {
      const { body } = await this.backend.call(`/jobs/${encodeURIComponent(job.jobId)}`);
      if (body.state === "succeeded") this.#end(job, body.result, null);
      else if (body.state === "failed") this.#end(job, null, body.problem ?? {});
      else this.#become(job, body.state);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404 || error.status === 410) this.#end(job, null, notHere(error));
    }
    if (!ENDED.has(job.state)) this.#poll(job, turn + 1);
  }

  #become(job, state) {
    if (ENDED.has(job.state) || job.state === state) return;
    job.state = state;
    this.#changed();
  }

  #end(job, result, problem) {
    if (ENDED.has(job.state)) return;
    clearTimeout(this.polls.get(job.req));
    Object.assign(job, { state: problem ? "failed" : "succeeded", endedMs: Date.now(), problem });
    if (result) Object.assign(job, { text: String(result.text ?? ""), stopReason: result.stop_reason ?? "" });
    announce(problem ? `Job failed: ${problemSentence(problem)}` : "Job done");
    this.#changed();
  }

  #changed() {
    this.store.save("jobs", this.jobs);
    this.draw();
  }

  #remove(job) {
    clearTimeout(this.polls.get(job.req));
    this.jobs = this.jobs.filter((other) => other !== job);
    this.views.get(job.req)?.element.remove();
    this.views.delete(job.req);
    this.#changed();
    byId("job-prompt").focus();
  }

  #draw() {
    const list = byId("job-list");
    if (this.jobs.length === 0) {
      list.replaceChildren(h("li", { class: "empty" }, h("p", {}, "No jobs yet. Submit a prompt above; its state shows here, and its result when it is there.")));
      return;
    }
    if (this.views.size === 0) list.replaceChildren();
    for (const job of this.jobs) {
      const view = this.views.get(job.req) ?? this.#show(job, list);
      view.show(job);
    }
  }

  #show(job, list) {
    const view = new JobView(job, { onRemove: () => this.#remove(job), onAgain: () => this.#begin(job.prompt) });
    this.views.set(job.req, view);
    list.prepend(view.element);
    return view;
  }
}

class JobView {
  constructor(job, { onRemove, onAgain }) {
    this.state = h("span", { class: "state" });
    this.when = h("span", { class: "when" });
    this.text = h("div", { class: "text" });
    this.markdown = new MarkdownView(this.text);
    this.result = h("details", { hidden: true }, h("summary", {}, "Result"), this.text);
    this.problem = h("p", { class: "problem", hidden: true });
    this.id = h("code", { class: "job-id" });
    this.again = h("button", { type: "button", class: "quiet", onclick: onAgain }, "Submit again");
    this.remove = h("button", { type: "button", class: "quiet", onclick: onRemove, "aria-label": "Remove from this list" }, "Remove");
    const prompt = job.prompt.length > 400 ? `${job.prompt.slice(0, 400)}…` : job.prompt;
    this.element = h(
      "li",
      { class: "card job" },
      h("div", { class: "job-head" }, this.state, this.when),
      h("p", { class: "prompt" }, prompt),
      this.problem,
      this.result,
      h("footer", {}, this.id, h("span", { class: "buttons" }, this.again, this.remove)),
    );
  }

  show(job) {
    this.element.dataset.state = job.state;
    setText(this.state, WORDS[job.state] ?? job.state);
    const took = job.endedMs === null ? "" : `, took ${duration(job.endedMs - job.submittedMs)}`;
    setText(this.when, `${ago(job.submittedMs)}${took}`);
    setText(this.id, job.jobId ?? "");
    this.problem.hidden = job.state !== "failed";
    if (job.state === "failed") setText(this.problem, problemSentence(job.problem));
    this.remove.hidden = !ENDED.has(job.state);
    this.again.hidden = job.state !== "failed";
    if (job.state !== "succeeded" || !this.result.hidden) return;
    this.markdown.show(job.text ?? "");
    this.result.hidden = false;
    this.result.open = true;
  }
}

function notHere(error) {
  return error.status === 404 ? { type: "/problems/not-found" } : error.members;
}
