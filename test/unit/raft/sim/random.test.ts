import { describe, expect, it } from 'vitest';
import { Random } from '../../../../raft/sim/random.ts';

describe('Random', () => {
  it('gives the same numbers for the same seed, on every machine', () => {
    const random = new Random(42);
    expect([random.uint32(), random.uint32(), random.uint32()]).toEqual([3893884377, 145076852, 3246010591]);
  });

  it('gives other numbers for every seed, above 2^32 too', () => {
    const firsts = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 40].map((seed) => new Random(seed).uint32());
    expect(new Set(firsts).size).toBe(firsts.length);
  });

  it('stays within its bounds and reaches them', () => {
    const random = new Random(7);
    const drawn = new Set(Array.from({ length: 500 }, () => random.integer(3, 6)));
    expect([...drawn].toSorted()).toEqual([3, 4, 5, 6]);
    expect(random.integer(5, 5)).toBe(5);
    expect(random.pick([])).toBeUndefined();
    expect(random.chance(0)).toBe(false);
    expect(random.chance(1)).toBe(true);
  });

  it('samples without repetition', () => {
    const items = [1, 2, 3, 4, 5];
    const random = new Random(1);
    expect(random.sample(items, 5).toSorted()).toEqual(items);
    expect(new Set(random.sample(items, 3)).size).toBe(3);
    expect(random.sample(items, 9)).toHaveLength(5);
  });

  it('forks that do not depend on how much the other draws', () => {
    const [a, b] = [new Random(3), new Random(3)];
    const [forkOfA, forkOfB] = [a.fork(), b.fork()];
    forkOfA.next();
    expect(a.uint32()).toBe(b.uint32());
    expect(forkOfA.uint32()).not.toBe(forkOfB.uint32());
  });
});
