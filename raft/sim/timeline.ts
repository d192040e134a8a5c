/**
 * Virtual time: a queue of things to do, ordered by when and, at the same millisecond, by who asked first. Time moves
 * only when the next one is due.
 */

interface Event {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

export class Timeline {
  #now = 0;
  #order = 0;
  /** A binary heap: the parent of i is at (i - 1) >> 1 and never later. */
  readonly #heap: Event[] = [];

  /** Milliseconds since the start of the simulation. */
  get now(): number {
    return this.#now;
  }

  at(time: number, run: () => void): void {
    this.#push({ time: Math.max(time, this.#now), order: this.#order++, run });
  }

  after(delay: number, run: () => void): void {
    this.at(this.#now + delay, run);
  }

  /** Runs everything up to `time`, or until `enough` says so. */
  runUntil(time: number, enough: () => boolean = () => false): void {
    for (let first = this.#heap[0]; first !== undefined && first.time <= time; first = this.#heap[0]) {
      this.#pop();
      this.#now = first.time;
      first.run();
      if (enough()) return;
    }
    this.#now = time;
  }

  #push(event: Event): void {
    let i = this.#heap.length;
    for (let up = (i - 1) >> 1; i > 0; up = (i - 1) >> 1) {
      const parent = this.#heap[up];
      if (parent === undefined || !before(event, parent)) break;
      this.#heap[i] = parent;
      i = up;
    }
    this.#heap[i] = event;
  }

  #pop(): void {
    const last = this.#heap.pop();
    const size = this.#heap.length;
    if (last === undefined || size === 0) return;
    let i = 0;
    for (;;) {
      const left = this.#heap[2 * i + 1];
      const right = this.#heap[2 * i + 2];
      const takeRight = left !== undefined && right !== undefined && before(right, left);
      const child = takeRight ? right : left;
      if (child === undefined || !before(child, last)) break;
      this.#heap[i] = child;
      i = 2 * i + (takeRight ? 2 : 1);
    }
    this.#heap[i] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
