// What outlives a reload: the conversation and the list of jobs, in this browser's storage.

const KEYS = { turns: "sluiceway.turns", jobs: "sluiceway.jobs" };
const MOST_ITEMS = 50;
const MOST_UNITS = 2_000_000; // of 5 MB that a browser keeps for a site, two bytes a unit

export class Store {
  /** `find()` gives the storage; it may throw where the browser forbids to keep anything. */
  constructor(find = () => localStorage) {
    this.find = find;
  }

  /** Newest last; an empty list where nothing readable is kept. */
  load(kind) {
    try {
      const items = JSON.parse(this.find().getItem(KEYS[kind]) ?? "[]");
      return Array.isArray(items) ? items : [];
    } catch {
      return [];
    }
  }

  /** Keeps the newest items, as many as there is room for. False where the browser keeps nothing at all. */
  save(kind, items) {
    for (let many = Math.min(items.length, MOST_ITEMS); many >= 0; many = Math.floor(many / 2)) {
      const text = JSON.stringify(many === 0 ? [] : items.slice(-many));
      if (text.length <= MOST_UNITS || many <= 1) {
        try {
          this.find().setItem(KEYS[kind], text);
          return true;
        } catch {
          if (many === 0) return false; // no room, or storage is forbidden
        }
      }
    }
    return false;
  }
}
