import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REPLAY_WINDOW_BITS } from '../../../../raft/limits.ts';
import { ReplayWindow } from '../../../../raft/transport/replay.ts';

/** The same rule with a set that forgets nothing. */
class Model {
  readonly #seen = new Set<number>();
  #newest = -1;

  accept(counter: number): boolean {
    if (counter <= this.#newest - REPLAY_WINDOW_BITS || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    this.#newest = Math.max(this.#newest, counter);
    return true;
  }
}

/** Steps near the newest counter, across the window's edge, and far ahead. */
const steps = fc.array(
  fc.oneof(
    fc.integer({ min: -40, max: 40 }),
    fc.integer({ min: -REPLAY_WINDOW_BITS - 40, max: -REPLAY_WINDOW_BITS + 40 }),
    fc.integer({ min: -REPLAY_WINDOW_BITS, max: 3 * REPLAY_WINDOW_BITS }),
  ),
  { maxLength: 300 },
);

describe('replay window', () => {
  it('accepts exactly what a set that forgets nothing accepts', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 2 ** 40 }), (list, start) => {
        const window = new ReplayWindow();
        const model = new Model();
        let newest = start;
        for (const step of list) {
          const counter = Math.max(0, newest + step);
          expect(window.accept(counter)).toBe(model.accept(counter));
          newest = Math.max(newest, counter);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('accepts each counter of a full window once, in any order', () => {
    const window = new ReplayWindow();
    for (let n = REPLAY_WINDOW_BITS - 1; n >= 0; n--) expect(window.accept(n)).toBe(true);
    for (let n = 0; n < REPLAY_WINDOW_BITS; n++) expect(window.accept(n)).toBe(false);
  });

  it('remembers the whole window wherever the newest counter stands in its word', () => {
    const window = new ReplayWindow();
    for (let n = 0; n < REPLAY_WINDOW_BITS + 70; n++) {
      const again = [n - REPLAY_WINDOW_BITS + 1, n - REPLAY_WINDOW_BITS + 33, n - 1].filter(
        (old) => old >= 0,
      );
      expect([window.accept(n), ...again.map((old) => window.accept(old))]).toEqual([
        true,
        ...again.map(() => false),
      ]);
    }
  });

  it('refuses what is older than the window', () => {
    const window = new ReplayWindow();
    expect(window.accept(REPLAY_WINDOW_BITS + 5)).toBe(true);
    expect(window.accept(5)).toBe(false);
    expect(window.accept(6)).toBe(true);
  });
});
