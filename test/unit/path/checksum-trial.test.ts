import { expect, test } from 'vitest';
import { nextStep, type Tried, type Verdict } from '../../../src/path/checksum-trial.ts';

/** Plays the trial against a path; what each SYN meets is asked of it in order. */
function play(answers: (offload: boolean, count: number) => boolean): {
  readonly verdict: Verdict;
  readonly offloads: readonly boolean[];
} {
  const tried: Tried[] = [];
  for (;;) {
    const step = nextStep(tried);
    if (step.kind === 'over') return { verdict: step.verdict, offloads: tried.map(({ offload }) => offload) };
    tried.push({ offload: step.offload, answered: answers(step.offload, tried.length) });
    expect(tried.length).toBeLessThan(10);
  }
}

test('a good path is known by one answer, and nothing is switched', () => {
  expect(play(() => true)).toEqual({ verdict: 'good', offloads: [true] });
});

test('a NIC that spoils checksums is silent with offload and answers without, twice', () => {
  expect(play((offload) => !offload)).toEqual({ verdict: 'broken', offloads: [true, false, true, false] });
});

test('a policy that eats the SYN is silent either way, and proves nothing', () => {
  expect(play(() => false)).toEqual({ verdict: 'unknown', offloads: [true, false] });
});

test('one lost answer is no proof', () => {
  expect(play((_, count) => count !== 0)).toMatchObject({ verdict: 'good' });
  expect(play((offload, count) => !offload && count !== 1)).toMatchObject({ verdict: 'unknown' });
  expect(play((offload, count) => !offload && count !== 3)).toMatchObject({ verdict: 'unknown' });
});

test('no path that ever answers with offload is broken, and none that answers never', () => {
  for (let seed = 0; seed < 16; seed++) {
    const answer = (_: boolean, count: number): boolean => ((seed >> count) & 1) === 1;
    const { verdict, offloads } = play(answer);
    const withOffload = offloads.filter((offload, count) => offload && answer(offload, count));
    if (withOffload.length > 0) expect(verdict).toBe('good');
    if (verdict === 'broken') expect(seed).toBe(0b1010);
  }
});
