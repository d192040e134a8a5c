/**
 * Whose routes are used in place of ours, found without reading the routes of others: the kernel is asked which way
 * packets to a destination go. All destinations once, then those that an event makes doubtful, then a few at each
 * resync. Holds what is to be asked and what was found. Pure; the caller asks.
 */
import { type Cidr, cidrBase, cidrCovers, cidrLength, cidrOf } from '../net/cidr.ts';
import type { Route } from './desired-state.ts';
import type { ActualRoute } from './kernel.ts';
import { isOurRoute, MAIN_TABLE } from './ownership.ts';

export class Rivals {
  readonly #pending = new Set<Cidr>();
  readonly #found = new Map<Cidr, ActualRoute | null>();
  #wanted: readonly Cidr[] = [];
  #isWanted: ReadonlySet<Cidr> = new Set();
  #lengths: readonly number[] = [];
  /** Where the next round of a resync begins. */
  #next = 0;

  /** By destination of ours; null where packets are dropped on purpose, by a route that the kernel does not name. */
  get found(): ReadonlyMap<Cidr, ActualRoute | null> {
    return this.#found;
  }

  setDesired(routes: readonly Route[]): void {
    const before = this.#isWanted;
    this.#wanted = routes.filter(({ type, table }) => type === 'unicast' && table === MAIN_TABLE).map(dstOf);
    this.#isWanted = new Set(this.#wanted);
    this.#lengths = [...new Set(this.#wanted.map(cidrLength))];
    for (const dst of this.#wanted) if (!before.has(dst)) this.#pending.add(dst);
    for (const dst of [...this.#found.keys(), ...this.#pending])
      if (!this.#isWanted.has(dst)) this.#forget(dst);
  }

  /** Somebody else's route to `dst` came or went. What is wider than ours is never used in its place. */
  suspect(dst: Cidr): void {
    for (const length of this.#lengths) {
      if (length > cidrLength(dst)) continue;
      const ours = cidrOf(cidrBase(dst), length);
      if (this.#isWanted.has(ours)) this.#pending.add(ours);
    }
  }

  suspectAll(): void {
    for (const dst of this.#wanted) this.#pending.add(dst);
  }

  /** The next `count` in turn. */
  suspectSome(count: number): void {
    for (const dst of this.#wanted.slice(this.#next, this.#next + count)) this.#pending.add(dst);
    this.#next = this.#next + count < this.#wanted.length ? this.#next + count : 0;
  }

  /** Up to `count` destinations to ask for. */
  take(count: number): readonly Cidr[] {
    const taken = [...this.#pending].slice(0, count);
    for (const dst of taken) this.#pending.delete(dst);
    return taken;
  }

  /** `used`: what the kernel answered. `installed`: whether ours is in the kernel. */
  record(dst: Cidr, used: ActualRoute | null, installed: boolean): void {
    if (!this.#isWanted.has(dst)) return;
    if (isRival(dst, used, installed)) this.#found.set(dst, used);
    else this.#found.delete(dst);
  }

  #forget(dst: Cidr): void {
    this.#found.delete(dst);
    this.#pending.delete(dst);
  }
}

function dstOf({ dst }: Route): Cidr {
  return dst;
}

/** A wider route of the main table only shows that ours is not there. */
function isRival(dst: Cidr, used: ActualRoute | null, installed: boolean): boolean {
  if (used === null) return installed;
  if (isOurRoute(used)) return false;
  return used.table !== MAIN_TABLE || cidrCovers(dst, used.dst);
}
