// A person's word: a card where a failover or a failback is asked for, with what speaks against it and what it will do.

import { announce, byId, h, setText } from "./dom.js";
import { counted } from "./format.js";
import { Problem } from "./problems.js";

const AGAINST = {
  "already-home": "It is home already.",
  "home-is-well": "The home is well: it has to hand over itself, with nothing under way.",
  "other-is-unwell": "The Region that would be home is not well.",
  "replication-lags": "What is written in one Region does not arrive in the other within 10 s.",
  "keys-parked": "Keys are parked: nobody could ask whether their work was begun.",
  "drain-unfinished": "There are more keys in doubt than could be asked about just now. Look again.",
};

export class Approvals {
  constructor(place, { backend }) {
    Object.assign(this, { place, backend });
    this.cards = new Map();
  }

  draw(told, now) {
    const asked = new Map(told.asks.map((ask) => [ask.to, ask]));
    for (const [to, card] of this.cards) {
      if (asked.has(to) || card.isBusy) continue;
      const hadFocus = card.item.contains(document.activeElement);
      card.item.remove();
      this.cards.delete(to);
      if (hadFocus) byId("regions-title").focus();
    }
    for (const [to, { why }] of asked) {
      if (!this.cards.has(to)) this.#make(to, told);
      const card = this.cards.get(to);
      setText(card.title, title(why, to, told));
      setText(card.effect, effect(to, told, now));
    }
  }

  #make(to, told) {
    const card = { title: h("h2", { id: `approve-${to}` }), effect: h("p", {}), found: null, isBusy: false };
    card.against = h("ul", { class: "against", "aria-label": "What speaks against it" });
    card.all = h("input", { type: "checkbox" });
    card.anyway = h("label", { class: "wide check", hidden: true }, card.all, "Hand over all the same");
    card.name = h("input", { required: true, maxlength: 128, autocomplete: "name" });
    card.reason = h("input", { required: true, maxlength: 512, autocomplete: "off", placeholder: "incident 4711" });
    card.problem = h("p", { class: "problem", role: "alert", hidden: true });
    const again = h("button", { type: "button", class: "quiet", onclick: () => this.#look(to) }, "Look again");
    card.button = h("button", { type: "submit", class: "main" }, `Approve ${isBack(to, told) ? "failback" : "failover"} to ${to}`);
    const form = h(
      "form",
      { class: "fields-form" },
      h("label", {}, "Your name", card.name),
      h("label", {}, "Reason", card.reason),
      card.anyway,
      h("div", { class: "actions wide" }, again, card.button),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#approve(to);
    });
    card.item = h("section", { class: "card approval", "aria-labelledby": `approve-${to}` }, card.title, card.effect, card.against, form, card.problem);
    this.cards.set(to, card);
    this.place.append(card.item);
    announce(title(told.asks.find((ask) => ask.to === to).why, to, told));
    this.#look(to);
  }

  async #look(to) {
    const card = this.cards.get(to);
    say(card.against, ["Looking at what speaks against it…"]);
    try {
      const { readiness } = await this.backend.local(`look?to=${encodeURIComponent(to)}`);
      const reasons = readiness.against.map((reason) => AGAINST[reason] ?? reason);
      const parked = readiness.parked > 0 ? [`${counted(readiness.parked, "key")} parked.`] : [];
      const marks = readiness.replicated_ms === null ? [] : [`Marks arrive after ${readiness.replicated_ms} ms.`];
      say(card.against, reasons.length > 0 ? [...reasons, ...parked] : ["Nothing speaks against it.", ...marks], reasons.length > 0);
      card.anyway.hidden = reasons.length === 0;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      say(card.against, [error.message], true);
      card.anyway.hidden = false;
    }
  }

  async #approve(to) {
    const card = this.cards.get(to);
    card.isBusy = card.button.disabled = true;
    card.problem.hidden = true;
    const body = { to, name: card.name.value, reason: card.reason.value, force: !card.anyway.hidden && card.all.checked };
    try {
      const term = await this.backend.local("approve", { method: "POST", body });
      const said = `Approved. ${term.home} is home from epoch ${term.epoch} on.`;
      setText(byId("approved"), said);
      announce(said);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      card.problem.hidden = false;
      setText(card.problem, error.message);
      card.anyway.hidden = false;
    }
    card.isBusy = card.button.disabled = false;
  }
}

function isBack(to, told) {
  return told.group?.term?.epoch > 1 && told.regions[0]?.region === to;
}

function title(why, to, told) {
  if (why === "home-is-dark") return `${told.group.term.region} is home, and dark. Hand over to ${to}?`;
  return why === "failback" ? `${to} is well again. Hand the home back to it?` : `${told.group.term.region} gives no healthy answer. Hand over to ${to}?`;
}

function effect(to, told) {
  const { term } = told.group;
  const waitS = Math.ceil((term.lease_ms + term.skew_ms) / 1000);
  const names = told.names.length > 0 ? " The name follows once the alarm has seen a minute's metric, and clients when their answers have run out." : "";
  const work = `${term.region} begins no more work, and ${to} begins work ${waitS} s later, when nobody can still hold the old term.`;
  const doubt = `What ${term.region} may have begun is in doubt until it can be asked.`;
  return `Epoch ${term.epoch} ends and ${term.epoch + 1} begins: ${work} ${doubt}${names}`;
}

function say(list, sentences, isAgainst = false) {
  list.toggleAttribute("data-against", isAgainst);
  list.replaceChildren(...sentences.map((sentence) => h("li", {}, sentence)));
}
