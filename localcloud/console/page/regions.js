// Several Regions: a card for each, what passes between them, the name that leads to one, approvals, and the story.

import { Approvals } from "./approvals.js";
import { announce, byId, h, setText } from "./dom.js";
import { ago } from "./format.js";
import { Identity } from "./identity.js";
import { Links, drawMap } from "./links.js";
import { Problem } from "./problems.js";
import { RegionCards } from "./regioncards.js";
import { StoryList } from "./story.js";

const TICK_MS = 1_000; // for how long ago things were

export class Regions {
  constructor({ backend, feed }) {
    this.backend = backend;
    this.told = null;
    this.isRefused = false;
    const act = (path, body, said) => this.#act(path, body, said);
    this.cards = new RegionCards(byId("region-cards"), { act, backend });
    this.links = new Links(byId("region-links"), { act });
    this.approvals = new Approvals(byId("approvals"), { backend });
    this.story = new StoryList(byId("story"));
    this.identity = new Identity(byId("regions-identity"), { backend });
    feed.on("regions", (told) => this.#take(told));
    feed.on("again", () => this.#read());
    setInterval(() => this.told && !document.hidden && this.#draw(), TICK_MS);
  }

  show() {
    this.#read();
    this.identity.show();
  }

  async #read() {
    try {
      this.#take(await this.backend.local("regions"));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#complain(error.message);
    }
  }

  #take(told) {
    if (this.told && told.now_ms < this.told.now_ms) return; // an answer that an event has overtaken
    this.told = { ...told, behindMs: Date.now() - told.now_ms };
    if (!this.isRefused) this.#complain(""); // what was refused stands until the next thing is done
    this.#draw();
  }

  async #act(path, body, said) {
    try {
      const told = await this.backend.local(path, { method: "POST", body });
      this.isRefused = false;
      this.#complain("");
      if (told?.regions) this.#take(told);
      announce(said);
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.isRefused = true;
      this.#complain(error.message);
      return false;
    }
  }

  #complain(sentence) {
    byId("regions-problem").hidden = sentence === "";
    setText(byId("regions-problem"), sentence);
  }

  #draw() {
    const { told } = this;
    const now = Date.now() - told.behindMs;
    setText(byId("term"), termSentence(told.group, now));
    this.approvals.draw(told, now);
    this.cards.draw(told, now);
    drawMap(byId("region-map"), told);
    this.links.draw(told);
    this.story.draw(told, now);
    drawNames(byId("region-names"), told, now);
    byId("names-card").hidden = told.names.length === 0 && told.checks.length === 0;
  }
}

function termSentence(group, now) {
  if (group === null) return "No function here is told of a group of Regions: nothing says which one is home.";
  const { name, term } = group;
  if (term === null) return `The group ${name} has no term that could be read. Found it: sluiceway regions found --home REGION`;
  const begins = term.begins_ms > now ? `begins work in ${Math.max(1, Math.ceil((term.begins_ms - now) / 1000))} s` : `since ${ago(term.begins_ms, now)}`;
  const said = term.begins_ms > 8e15 ? `begins no work, for the hand-over was broken off. Go on with it: sluiceway regions approve --to ${term.region}` : begins;
  return `${term.region} is home of the group ${name}: epoch ${term.epoch}, ${said}. Approved: ${term.approval}`;
}

function drawNames(place, told, now) {
  const rows = [
    ...told.names.map((name) => [name.name, name.region ? `answers ${name.region}, for ${name.ttl_s} s at most` : "answers nothing"]),
    ...told.checks.map((check) => [`Check: ${check.name || check.about}`, `${check.healthy ? "healthy" : "unhealthy"} ${ago(check.since_s * 1000, now).replace(/ ago$/, "")}`.replace("just now", "from now on")]),
  ];
  while (place.children.length > rows.length) place.lastChild.remove();
  while (place.children.length < rows.length) place.append(h("li", {}, h("b", {}), h("span", {})));
  rows.forEach(([name, said], at) => {
    setText(place.children[at].children[0], name);
    setText(place.children[at].children[1], said);
  });
}
