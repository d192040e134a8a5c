import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Timeline } from '../../../../raft/sim/timeline.ts';

it('runs everything in the order of time, and at one moment in the order of asking', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 20 })), (times) => {
      const timeline = new Timeline();
      const ran: { time: number; order: number; now: number }[] = [];
      for (const [order, time] of times.entries()) {
        timeline.at(time, () => ran.push({ time, order, now: timeline.now }));
      }
      timeline.runUntil(20);
      const expected = times
        .map((time, order) => ({ time, order, now: time }))
        .toSorted((a, b) => a.time - b.time || a.order - b.order);
      expect(ran).toEqual(expected);
    }),
  );
});

it('runs what is asked for while it runs, and nothing beyond the end', () => {
  const timeline = new Timeline();
  const ran: string[] = [];
  timeline.at(5, () => {
    timeline.after(0, () => ran.push('same moment'));
    timeline.after(5, () => ran.push('at the end'));
    timeline.after(6, () => ran.push('beyond'));
    timeline.at(1, () => ran.push('in the past is now'));
  });
  timeline.runUntil(10);
  expect(ran).toEqual(['same moment', 'in the past is now', 'at the end']);
  expect(timeline.now).toBe(10);
  timeline.runUntil(11);
  expect(ran.at(-1)).toBe('beyond');
});
