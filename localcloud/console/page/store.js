// What outlives a reload: the conversation and the list of jobs, in the browser's storage.

const KEYS = { turns: "sluiceway.turns", jobs: "sluiceway.jobs" };
const MOST_ITEMS = 50;
const MOST_UNITS = 2_000_000; // of 5 MB that a browser keeps for a site, two bytes a unit

export class Store {
  /**
   * `places` give storages, and may throw where the browser forbids to keep anything. The tab's own is read first, so that
   * two windows do not take each other's conversation; a new window begins with the one that was kept last.
   */
  constructor(places = [() => sessionStorage, () => localStorage]) {
    this.places = places;
  }

  /** Newest last; an empty list where nothing readable is kept. */
  load(kind) {
    for (const place of this.places) {
      try {
        const items = JSON.parse(place().getItem(KEYS[kind]));
        if (Array.isArray(items)) return items;
      } catch {
        // the next place may do better
      }
    }
    return [];
  }

  /** Keeps the newest items, as many as there is room for. False where the browser keeps nothing at all. */
  save(kind, items) {
    return this.places.map((place) => saveIn(place, KEYS[kind], items)).some(Boolean);
  }
}

function saveIn(place, key, items) {
  for (let many = Math.min(items.length, MOST_ITEMS); many >= 0; many = many > 0 ? Math.floor(many / 2) : -1) {
    const text = JSON.stringify(many === 0 ? [] : items.slice(-many));
    if (text.length > MOST_UNITS && many > 1) continue;
    try {
      place().setItem(key, text);
      return true;
    } catch {
      // no room for so many, or storage is forbidden
    }
  }
  return false;
}
