import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Repairs } from '../../../src/dataplane/repairs.ts';
import { Throttle } from '../../../src/dataplane/throttle.ts';

test('a throttle lets a burst through at once and then one at a time', () => {
  const throttle = new Throttle(3, 10);
  expect([0, 0, 0, 0, 0].map((at) => throttle.take(1_000 + at))).toEqual([0, 0, 0, 100, 200]);
  expect(throttle.take(10_000)).toBe(0);
});

test('a throttle never lets more through than it says', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 500 }), { minLength: 1, maxLength: 200 }), (pauses) => {
      const throttle = new Throttle(5, 20);
      let now = 1_000;
      const used = pauses.map((pause) => {
        now += pause;
        const wait = throttle.take(now);
        now += wait;
        return now;
      });
      for (const [index, from] of used.entries())
        expect(used.slice(index).filter((at) => at - from < 1_000).length).toBeLessThanOrEqual(5 + 20 + 1);
    }),
  );
});

test('repairs are counted, a fight is one thing five times a minute, and old ones are forgotten', () => {
  const repairs = new Repairs();
  for (let i = 0; i < 4; i++) repairs.record(['a', `once ${i}`], i * 1_000);
  expect([repairs.total, repairs.contested(4_000)]).toEqual([8, []]);
  repairs.record(['a'], 5_000);
  expect(repairs.contested(5_000)).toEqual(['a']);
  expect(repairs.contested(61_000)).toEqual([]);
});
