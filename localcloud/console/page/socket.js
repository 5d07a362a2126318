// One WebSocket that is kept open: it reconnects with back-off, and says what it is doing.
//
// Must not know answers or jobs. Time, chance and the WebSocket class come from outside, so that tests need no network.

export const FIRST_DELAY_MS = 250;
export const LONGEST_DELAY_MS = 15_000;
export const CONNECT_PATIENCE_MS = 10_000; // a handshake that takes longer is given up
const NORMAL_CLOSURE = 1000; // RFC 6455, section 7.4.1

/** How long to wait after the n-th failure in a row (from 1): doubling, at random in the upper half. */
export function backoffMs(failures, random) {
  const most = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
  return Math.round(most * (0.5 + random() / 2));
}

/**
 * `connect()` resolves to {url, protocols} and may reject: with an error whose `final` is true nothing is tried until
 * `start` is called again. `onText(text)` gets messages, `onState({state, failures, retryMs, error})` every change of
 * `state`: idle, connecting, open, waiting (for the next try) or refused (`error` says why, and it waits for a start).
 */
export class Socket {
  constructor({ connect, onText, onState, WebSocket, clock, random = Math.random }) {
    Object.assign(this, { connect, onText, onState, WebSocket, clock, random });
    this.state = "idle";
    this.failures = 0;
    this.socket = null;
    this.timer = null;
    this.epoch = 0; // what an older connection still reports is not listened to
  }

  /** Connects now, also where it waits for its next try; nothing where it is open or connecting. */
  start() {
    if (this.state !== "open" && this.state !== "connecting") this.#open();
  }

  /** Closes, and stays closed. */
  stop() {
    this.#drop();
    this.#tell("idle");
  }

  /** Closes a connection that seems dead and opens another. */
  restart() {
    this.#drop();
    this.#open();
  }

  /** Sends one message; false where no connection is open. */
  send(message) {
    if (this.state !== "open" || this.socket.readyState !== this.WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Something useful came: the next loss starts the back-off from the beginning. */
  praise() {
    this.failures = 0;
  }

  async #open() {
    this.#drop();
    const epoch = this.epoch;
    this.#tell("connecting");
    this.timer = this.clock.setTimeout(() => this.#lost(epoch, null), CONNECT_PATIENCE_MS);
    try {
      const { url, protocols } = await this.connect();
      if (epoch === this.epoch) this.#listen(new this.WebSocket(url, protocols), epoch);
    } catch (error) {
      this.#lost(epoch, error);
    }
  }

  #listen(socket, epoch) {
    this.socket = socket;
    socket.onopen = () => {
      if (epoch !== this.epoch) return;
      this.clock.clearTimeout(this.timer);
      this.#tell("open");
    };
    socket.onmessage = (event) => {
      if (epoch === this.epoch) this.onText(event.data);
    };
    socket.onclose = () => this.#lost(epoch, null);
  }

  #lost(epoch, error) {
    if (epoch !== this.epoch) return;
    this.#drop();
    this.failures += 1;
    if (error?.final) {
      this.#tell("refused", { error });
      return;
    }
    const retryMs = backoffMs(this.failures, this.random);
    this.timer = this.clock.setTimeout(() => this.#open(), retryMs);
    this.#tell("waiting", { retryMs, error });
  }

  #drop() {
    this.epoch += 1;
    this.clock.clearTimeout(this.timer);
    this.timer = null;
    const { socket } = this;
    this.socket = null;
    if (socket) socket.close(NORMAL_CLOSURE);
  }

  #tell(state, more = {}) {
    this.state = state;
    this.onState({ state, failures: this.failures, retryMs: 0, error: null, ...more });
  }
}
