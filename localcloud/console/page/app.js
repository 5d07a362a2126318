// Starts the page: reads the configuration, makes the parts, and lets the address choose the view.

import { Backend, loadConfig } from "./backend.js";
import { Chat } from "./chat.js";
import { Connections } from "./connections.js";
import { announce, byId, h, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { Identity } from "./identity.js";
import { Jobs } from "./jobs.js";
import { Logs } from "./logs.js";
import { Problem } from "./problems.js";
import { Rail } from "./rail.js";
import { Regions } from "./regions.js";
import { Requests } from "./requests.js";
import { Service } from "./service.js";
import { Store } from "./store.js";
import { Streams } from "./streams.js";

const VIEWS = ["chat", "jobs", "requests", "logs", "connections", "streams", "identity", "regions"];
const THEMES = { auto: "light", light: "dark", dark: "auto" };
const CLOCK = { now: () => Date.now(), setTimeout: (call, ms) => setTimeout(call, ms), clearTimeout: (timer) => clearTimeout(timer) };

const views = {};
let openedMs = null;
let backend = null; // stays so where there is no configuration
let service = null;

backend = await loadBackend();
if (backend) start();

async function loadBackend() {
  try {
    return new Backend(await loadConfig());
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    complain(error.message);
    return null;
  }
}

function makeService() {
  return new Service({
    connect: () => backend.greet(),
    WebSocket,
    clock: CLOCK,
    onAnswer: (entry) => views.chat.update(entry),
    onJob: (req, frame) => views.jobs.take(req, frame),
    onConnection: showLink,
  });
}

function start() {
  const { local, region, model, functions } = backend.config;
  const isOurs = backend.socket !== null || !local; // any template runs locally: one without a socket has no chat
  const isHost = Array.isArray(backend.config.regions); // of several Regions: each has a console of its own
  if (isOurs) makeChat();
  if (isHost) startHost();
  else if (local) startLocal(functions);
  const has = { local: local && !isHost, host: isHost, service: isOurs };
  for (const [what, isThere] of Object.entries(has)) if (!isThere) for (const part of document.querySelectorAll(`[data-${what}]`)) part.remove();
  setText(byId("place"), [region, model].filter(Boolean).join(" · "));
  startTheme();
  startLink();
  startSignIn();
  addEventListener("hashchange", () => route(true));
  route(false);
  service?.start();
  views.chat?.restore();
  views.jobs?.restore();
}

function makeChat() {
  const store = new Store();
  service = makeService();
  views.chat = new Chat({ service, store, onJob: makeJob, onAsked: () => service.start() });
  views.jobs = new Jobs({ service, backend, store });
}

function startLocal(functions) {
  const feed = new Feed("api/events");
  views.requests = new Requests({ backend, feed, functions });
  views.logs = new Logs({ backend, feed, functions });
  views.connections = new Connections({ backend, feed, openedMs: () => openedMs });
  views.streams = new Streams({ backend, feed });
  views.identity = new Identity(byId("identity-body"), { backend });
  new Rail({ feed, functions, isMine: (connection) => connection === views.connections.own });
  feed.start();
}

function startHost() {
  const feed = new Feed("api/events");
  views.regions = new Regions({ backend, feed });
  feed.start();
}

function makeJob(prompt) {
  location.hash = "#jobs";
  views.jobs.propose(prompt);
}

// #chat, #requests/<trace>, #logs/<trace>, ...; #question is the chat's box
function route(isMoved) {
  const [name, rest = ""] = location.hash.slice(1).split("/");
  const view = name in views ? name : Object.keys(views)[0];
  for (const other of VIEWS) {
    byId(other)?.toggleAttribute("hidden", other !== view);
    if (other !== view) views[other]?.hide?.();
  }
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = view;
  document.title = view === "chat" ? "Sluiceway" : `${byId(`${view}-title`).textContent} - Sluiceway`;
  views[view].show?.(decodeURIComponent(rest));
  const isTyping = matchMedia("(pointer: fine)").matches || name === "question";
  if (view === "chat" && isTyping) views.chat.focus();
  else if (isMoved && !rest) byId(`${view}-title`).focus({ preventScroll: true });
}

function showLink({ state, failures, retryMs, error }) {
  if (state === "waiting" && document.hidden && !service.isWaiting) {
    service.rest(); // nobody looks, and nothing is to come: the gateway may have ended an idle connection
    return;
  }
  if (state === "open" || failures === 3) views.jobs.reconnect(); // without a socket they go over HTTP
  if (state === "open") {
    openedMs = Date.now();
    views.connections?.read();
  } else if (state !== "connecting") {
    openedMs = null;
  }
  const words = {
    idle: "Not connected",
    connecting: failures > 0 ? "Reconnecting…" : "Connecting…",
    open: "Connected",
    waiting: `Retry in ${Math.max(1, Math.round(retryMs / 1000))} s`,
    refused: "Not connected",
  };
  byId("link").dataset.state = state;
  setText(byId("link").querySelector("span"), words[state]);
  const hint = state === "open" || state === "connecting" ? "Connection to the service" : "Connection to the service; press to try now";
  byId("link").setAttribute("aria-label", `${words[state]}. ${hint}`);
  if (state === "open") complain("");
  if (state === "refused" && error?.status === 401) askToken();
  else if (state === "refused" || failures > 2) complain(lossSentence(error));
}

function lossSentence(error) {
  if (error instanceof Problem) return error.message;
  if (backend.config.local) return "The service does not take the connection. See that the local cloud runs (sluiceway status), and what the logs say.";
  return "The service does not take the connection: it is away, or the token is not accepted.";
}

function complain(sentence) {
  const banner = byId("banner");
  if (banner.dataset.text === sentence) return;
  banner.dataset.text = sentence;
  banner.hidden = sentence === "";
  const parts = [h("span", {}, sentence)];
  if (sentence && backend?.config.local === false) parts.push(h("button", { type: "button", onclick: () => askToken(true) }, "Use another token"));
  banner.replaceChildren(...parts);
}

function startLink() {
  if (service === null) return;
  byId("link").addEventListener("click", () => service.start());
  addEventListener("online", () => service.start());
  document.addEventListener("visibilitychange", () => document.hidden || service.start());
}

function askToken(isChosen = false) {
  if (isChosen) backend.forget();
  if (!byId("sign-in").open) byId("sign-in").showModal();
  byId("token").focus();
}

function startSignIn() {
  byId("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      backend.use(byId("token").value);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      byId("sign-in-problem").hidden = false;
      setText(byId("sign-in-problem"), error.message);
      return;
    }
    byId("token").value = "";
    byId("sign-in").close();
    byId("sign-in-problem").hidden = true;
    complain("");
    service.start();
    byId("question").focus();
  });
}

function startTheme() {
  const button = byId("theme");
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.querySelector("use").setAttribute("href", `#i-${theme}`);
    const words = { auto: "as the system", light: "light", dark: "dark" };
    button.setAttribute("aria-label", `Theme: ${words[theme]}. Press for ${words[THEMES[theme]]}`);
    button.title = `Theme: ${words[theme]}`;
  };
  let theme = document.documentElement.dataset.theme ?? "auto";
  show(theme);
  button.addEventListener("click", () => {
    theme = THEMES[theme];
    show(theme);
    announce(`Theme: ${theme === "auto" ? "as the system" : theme}`);
    try {
      localStorage.setItem("sluiceway.theme", theme);
    } catch {
      // then it lasts as long as the page
    }
  });
}
