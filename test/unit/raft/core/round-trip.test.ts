import { expect, test } from 'vitest';
import { RoundTrip } from '../../../../raft/core/round-trip.ts';
import { toLogIndex } from '../../../../raft/core/types.ts';

const i = toLogIndex;

test('waits the initial time before the first measurement, and never less than the minimum', () => {
  const roundTrip = new RoundTrip(100, 10);
  expect(roundTrip.timeout).toBe(100);
  roundTrip.sent(i(1), 0);
  roundTrip.acknowledged(i(1), 0);
  expect(roundTrip.rtt).toBe(0);
  expect(roundTrip.timeout).toBe(10);
});

test('follows the mean and leaves room for the deviation', () => {
  const roundTrip = new RoundTrip(100, 10);
  for (let n = 1; n <= 50; n++) {
    roundTrip.sent(i(n), n * 1_000);
    roundTrip.acknowledged(i(n), n * 1_000 + (n % 2 === 0 ? 30 : 50));
  }
  expect(roundTrip.rtt).toBeGreaterThan(35);
  expect(roundTrip.rtt).toBeLessThan(45);
  expect(roundTrip.timeout).toBeGreaterThan(50);
});

test('measures nothing that was sent twice', () => {
  const roundTrip = new RoundTrip(100, 10);
  roundTrip.sent(i(5), 0);
  roundTrip.lost();
  roundTrip.sent(i(5), 90);
  roundTrip.acknowledged(i(5), 91);
  expect(roundTrip.timeout).toBe(100);
  roundTrip.sent(i(6), 100);
  roundTrip.acknowledged(i(6), 120);
  expect(roundTrip.rtt).toBe(20);
});
