// The identity provider: tokens to try things with, the keys that are published, and an outage to see what comes of it.

import { announce, h, setText } from "./dom.js";
import { Problem } from "./problems.js";

const ACTIONS = [
  ["rotate", "Rotate", "Signs with a new key, and publishes the old ones too: every token goes on being taken."],
  ["withdraw", "Withdraw old keys", "Publishes the signing key alone: tokens of older keys are refused once the set has been read again, after a minute or two."],
  ["down", "Down", "Answers 503: tokens go on being taken by the keys that are kept, and one of a key that nobody has read yet gets 503, since nobody can check it."],
  ["hang", "Hang", "Gives no answer: as down, but whoever needs the answer waits for it, up to 3 s."],
  ["up", "Up", "Answers again: the set is read within a minute."],
];
const AWAY = { "": ["Answers", "up"], down: ["Is down: 503", "down"], hang: ["Gives no answer", "hang"] };

export class Identity {
  constructor(place, { backend }) {
    Object.assign(this, { place, backend });
    this.parts = null;
  }

  async show() {
    if (this.parts === null) this.#make();
    await this.#ask("issuer", "GET");
  }

  #make() {
    const parts = {
      state: h("strong", { class: "region-state" }),
      issuer: h("code", {}),
      keys: h("ul", { class: "keys", "aria-label": "Published keys" }),
      problem: h("p", { class: "problem", role: "alert", hidden: true }),
    };
    const actions = ACTIONS.map(([action, name, said]) => {
      const id = `${this.place.id}-${action}`;
      const button = h("button", { type: "button", onclick: () => this.#ask(`issuer/${action}`, "POST", name), "aria-describedby": id }, name);
      return h("li", {}, button, h("p", { class: "facts", id }, said));
    });
    this.parts = parts;
    this.place.append(
      h("p", { class: "issuer" }, parts.state, " ", parts.issuer),
      h("h3", {}, "Keys"),
      parts.keys,
      h("ul", { class: "issuer-actions" }, ...actions),
      parts.problem,
      h("h3", {}, "A token"),
      this.#makeForm(),
    );
  }

  #makeForm() {
    const field = (title, attributes = {}) => {
      const input = h("input", { autocomplete: "off", spellcheck: "false", maxlength: 128, ...attributes });
      return [input, h("label", {}, title, input)];
    };
    const [subject, subjectLabel] = field("Subject", { value: "developer", required: true });
    const [minutes, minutesLabel] = field("Minutes", { type: "number", min: 1, max: 1440, step: 1, value: 60, required: true, inputmode: "numeric", maxlength: null });
    const [groups, groupsLabel] = field("Groups, with commas", { placeholder: "admin, ops", maxlength: 1024 });
    const [tenant, tenantLabel] = field("Tenant", { placeholder: "acme" });
    const made = h("div", { class: "made-token" });
    const issue = h("div", { class: "actions wide" }, h("button", { type: "submit", class: "main" }, "Issue token"));
    const form = h("form", { class: "fields-form" }, subjectLabel, minutesLabel, groupsLabel, tenantLabel, issue);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const names = groups.value.split(",").map((name) => name.trim()).filter(Boolean);
      const body = { subject: subject.value, minutes: Number(minutes.value) };
      if (names.length > 0) body.groups = names;
      if (tenant.value.trim()) body.tenant = tenant.value.trim();
      try {
        showToken(made, await this.backend.local("token", { method: "POST", body }));
        this.#complain("");
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        made.replaceChildren();
        this.#complain(error.message);
      }
    });
    return h("div", {}, form, made);
  }

  async #ask(path, method, name = "") {
    try {
      this.#draw(await this.backend.local(path, { method }));
      this.#complain("");
      if (name) announce(`${name}: done`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#complain(error.message);
    }
  }

  #complain(sentence) {
    this.parts.problem.hidden = sentence === "";
    setText(this.parts.problem, sentence);
  }

  #draw({ issuer, away, keys }) {
    const { parts } = this;
    const [said, state] = AWAY[away];
    setText(parts.state, said);
    parts.state.dataset.state = state === "up" ? "up" : "dark";
    setText(parts.issuer, issuer);
    parts.keys.replaceChildren(...keys.map((key) => h("li", {}, h("code", {}, key.kid), key.signs ? h("span", { class: "chip" }, "Signs") : null)));
  }
}

// Shown once: it is kept nowhere, and gone when another is issued or the page is left.
function showToken(place, { token, subject, expires_s }) {
  const text = h("textarea", { readonly: true, rows: 4, spellcheck: "false", "aria-label": "The token" });
  text.value = token;
  const copy = h("button", { type: "button" }, "Copy token");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(token);
      setText(copy, "Copied");
      announce("Copied");
    } catch {
      text.focus();
      text.select(); // the clipboard is closed to this page: the keyboard's copy takes it
    }
  });
  place.replaceChildren(h("p", { class: "facts" }, `For ${subject}, good for ${Math.round(expires_s / 60)} min. It is shown this once.`), text, copy);
  announce("The token is there");
}
