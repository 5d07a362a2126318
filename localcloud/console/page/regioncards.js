// A card for each Region: whether it is there, what it says of itself, what the other one sees, and what may be done to it.

import { announce, h, setText } from "./dom.js";
import { ago, counted } from "./format.js";
import { Problem } from "./problems.js";

const OLD_MS = 60_000; // a probe looks every few seconds: what is older tells nothing of now
const ALARMS = {
  "other-region-down": "the other Region gives no healthy answer",
  "secondary-is-home": "traffic goes to the secondary",
  "failover-asked": "asks to approve a failover",
  "failback-asked": "asks to approve a failback",
};

export class RegionCards {
  /** `act(path, body, said)` does something and resolves to whether it was done. */
  constructor(place, { act, backend }) {
    Object.assign(this, { place, act, backend });
    this.cards = new Map();
  }

  draw(told, now) {
    for (const region of told.regions) {
      if (!this.cards.has(region.region)) this.cards.set(region.region, this.#make(region));
      fill(this.cards.get(region.region), region, now);
    }
  }

  #make({ region, console: address }) {
    const parts = { chips: h("span", { class: "chips" }), state: h("strong", { class: "region-state" }), rows: new Map() };
    const list = h("dl", { class: "region-facts" });
    for (const [name, title] of [["health", "Says of itself"], ["seen", "Seen from the other"], ["alarms", "Alarms"], ["doubts", "Keys in doubt"]]) {
      const value = h("dd", {});
      parts.rows.set(name, value);
      list.append(h("div", {}, h("dt", {}, title), value));
    }
    parts.power = h("button", { type: "button", onclick: () => this.#power(region, parts.power) });
    parts.item = h(
      "article",
      { class: "card region", "aria-label": region },
      h("header", {}, h("h2", {}, region), parts.chips, parts.state),
      list,
      h("div", { class: "region-actions" }, parts.power, this.#makeDrill(region), h("a", { href: address, target: "_blank", rel: "noreferrer" }, `Console of ${region}`)),
    );
    this.place.append(parts.item);
    return parts;
  }

  async #power(region, button) {
    const kills = button.dataset.does === "kill";
    button.disabled = true;
    await this.act(`${kills ? "kill" : "recover"}/${encodeURIComponent(region)}`, undefined, kills ? `${region} is dark` : `${region} is back`);
    button.disabled = false;
    button.focus();
  }

  #makeDrill(region) {
    const name = h("input", { required: true, maxlength: 128, autocomplete: "name" });
    const reason = h("input", { required: true, maxlength: 512, autocomplete: "off" });
    const minutes = h("input", { type: "number", min: 0, max: 1440, step: 1, value: 10, required: true, inputmode: "numeric" });
    const said = h("p", { class: "facts", role: "status" });
    const form = h(
      "form",
      { class: "fields-form" },
      h("p", { class: "wide facts" }, `${region} says that it is unwell for so long, so that people see what follows; nothing else changes. 0 minutes end it.`),
      h("label", {}, "Your name", name),
      h("label", {}, "Minutes", minutes),
      h("label", { class: "wide" }, "Reason", reason),
      h("div", { class: "actions wide" }, h("button", { type: "submit" }, "Set the drill")),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      setText(said, "Asking…");
      const body = { region, name: name.value, reason: reason.value, minutes: Number(minutes.value) };
      try {
        await this.backend.local("drill", { method: "POST", body });
        setText(said, body.minutes ? `${region} says that it is unwell, for ${body.minutes} min` : "The drill is over");
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        setText(said, error.message);
      }
      announce(said.textContent);
    });
    return h("details", { class: "drill" }, h("summary", {}, "Drill"), form, said);
  }
}

function fill({ item, chips, state, rows, power }, region, now) {
  item.dataset.dark = region.dark;
  const words = [region.home && "Home", region.role && region.role[0].toUpperCase() + region.role.slice(1)].filter(Boolean);
  same(chips, words, (word) => h("span", { class: "chip" }, word));
  setText(state, region.dark ? "Dark" : "Up");
  state.dataset.state = region.dark ? "dark" : "up";
  setText(power, region.dark ? "Recover" : "Kill");
  power.dataset.does = region.dark ? "recover" : "kill";
  power.setAttribute("aria-label", `${power.textContent} ${region.region}`);
  power.classList.toggle("danger", !region.dark);
  drawHealth(rows.get("health"), region);
  const seen = region.seen;
  setText(rows.get("seen"), seen === null ? "not yet probed" : `${seen.well ? "Well" : "No healthy answer"}, ${ago(seen.at_ms, now)}, from ${seen.by}`);
  rows.get("seen").dataset.tone = seen === null || now - seen.at_ms > OLD_MS ? "" : seen.well ? "good" : "bad";
  drawAlarms(rows.get("alarms"), region, now);
  drawDoubts(rows.get("doubts"), region);
}

function drawHealth(place, { health, dark }) {
  const said = health === null ? "it has no health check" : { healthy: "Healthy", unhealthy: "Unwell", drill: "Unwell: a drill" }[health.said] ?? (dark ? "nothing: it is dark" : "No answer");
  const checks = Object.entries(health?.checks ?? {});
  same(place, [said, ...checks.map(([name, is]) => `${name} ${is}`)], (word, at) => h("span", at === 0 ? {} : { class: "check", "data-tone": word.endsWith(" ok") ? "good" : "bad" }, word));
  place.dataset.tone = health === null || dark ? "" : health.said === "healthy" ? "good" : "bad";
}

function drawAlarms(place, { alarms, fresh }, now) {
  const words = alarms.map((alarm) => {
    const said = alarm.state === "ALARM" ? `ALARM: ${ALARMS[alarm.name] ?? alarm.name}, ${ago(alarm.since_ms, now)}` : `${alarm.name}: ${{ OK: "OK" }[alarm.state] ?? "not enough data"}`;
    return { text: fresh ? said : `${said} (as last told)`, tone: alarm.state === "ALARM" ? "bad" : "" };
  });
  if (words.length === 0) words.push({ text: "none of the group's", tone: "" });
  while (place.children.length > words.length) place.lastChild.remove();
  while (place.children.length < words.length) place.append(h("span", { class: "alarm" }));
  words.forEach(({ text, tone }, at) => {
    setText(place.children[at], text);
    place.children[at].dataset.tone = tone;
  });
}

function drawDoubts(place, { doubts, fresh }) {
  const words = { parked: "parked: nobody could be asked", fenced: "fenced: begun, and no end is known", released: "released by a person" };
  const said = Object.entries(doubts ?? {}).map(([why, count]) => `${counted(count, "key")} ${words[why] ?? why}`);
  const text = doubts === null ? "not known" : said.join("; ") || "none";
  setText(place, fresh ? text : `${text} (as last told)`);
  place.dataset.tone = said.length > 0 ? "bad" : "";
}

function same(place, words, make) {
  if (place.dataset.words === words.join("\n")) return;
  place.dataset.words = words.join("\n");
  place.replaceChildren(...words.map(make));
}
