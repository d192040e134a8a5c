/**
 * How long a packet a path carries, found by probes that must not be fragmented. Pure. As long as the longest one that
 * the links allow gets through, that is the answer; where it does not while short ones do, something in the middle
 * drops it without a word, and halving finds the length. The result changes only when a search has ended, for a
 * container remembers a smaller one for ten minutes.
 */

/** Between two looks at whether the longest packet gets through. */
const LOOK_MS = 60_000;
/** Probes of one length, lost in a row, that say no; on a path that loses packets anyway, more. */
const TRIES = 3;
const TRIES_LOSSY = 7;
const LOSSY = 0.05;
/** Every path carries this; IPv6 links have to. */
const MTU_MIN = { 4: 576, 6: 1280 } as const;

/** The longest length known to pass, and the shortest known not to. */
interface Search {
  readonly passes: number;
  readonly fails: number;
}

const NOW = Number.NEGATIVE_INFINITY;

export class PathMtu {
  readonly #min: number;
  #linkMtu: number;
  /** The longest that was answered, null before anything was. */
  #proven: number | null = null;
  /** What a search found to be the limit below the links'. */
  #limit: number | null = null;
  #search: Search | null = null;
  #lost = 0;
  #nextLookMs = NOW;

  constructor(family: 4 | 6, linkMtu: number) {
    this.#min = Math.min(MTU_MIN[family], linkMtu);
    this.#linkMtu = linkMtu;
  }

  /** What packets on this path may be long. */
  get mtu(): number {
    return this.#limit ?? this.#linkMtu;
  }

  /** Null until a probe of that length was answered. */
  get proven(): number | null {
    return this.#proven;
  }

  /** The links of the two ends are not what they were. */
  setLinkMtu(linkMtu: number): void {
    if (linkMtu === this.#linkMtu) return;
    this.#linkMtu = linkMtu;
    this.#proven = null;
    this.#limit = null;
    this.#search = null;
    this.#lost = 0;
    this.#nextLookMs = NOW;
  }

  /** When the next length is to be tried; long ago while a search runs. */
  get dueMs(): number {
    return this.#search === null && this.#lost === 0 ? this.#nextLookMs : NOW;
  }

  /** The length to try next: what it was the last time, and that no more gets through, before halving. */
  get next(): number {
    if (this.#search === null) return this.#linkMtu;
    const { passes, fails } = this.#search;
    const limit = this.#limit ?? 0;
    for (const guess of [limit, limit + 1]) if (passes < guess && guess < fails) return guess;
    return Math.floor((passes + fails) / 2);
  }

  answered(length: number, nowMs: number): void {
    if (length > this.#linkMtu) return;
    if (length === this.#linkMtu) {
      this.#end(null, length, nowMs);
      return;
    }
    if (this.#search === null || length <= this.#search.passes || length >= this.#search.fails) return;
    this.#narrow({ ...this.#search, passes: length }, nowMs);
  }

  /** A probe of this length was lost while short ones on the same path were answered. */
  lost(length: number, pathLoss: number, nowMs: number): void {
    if (length !== this.next) return;
    this.#lost++;
    if (this.#lost < (pathLoss > LOSSY ? TRIES_LOSSY : TRIES)) return;
    this.#narrow({ passes: this.#search?.passes ?? this.#min, fails: length }, nowMs);
  }

  #narrow(search: Search, nowMs: number): void {
    this.#lost = 0;
    this.#search = search;
    if (search.fails - search.passes <= 1) this.#end(search.passes, search.passes, nowMs);
  }

  #end(limit: number | null, proven: number, nowMs: number): void {
    this.#limit = limit;
    this.#proven = proven;
    this.#search = null;
    this.#lost = 0;
    this.#nextLookMs = nowMs + LOOK_MS;
  }
}
