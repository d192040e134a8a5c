import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { deadline } from '../../src/deadline.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

it('comes, though nobody but its holder knows of it', async () => {
  const stop = new AbortController();
  const inner = deadline(50, stop.signal);
  const outer = deadline(60_000, inner);
  while (!outer.aborted) {
    collect();
    await delay(1);
  }
  expect(inner.reason).toMatchObject({ name: 'TimeoutError' });
  expect(outer.reason).toBe(inner.reason);
});

it('comes with the other signal, also when that has aborted before', () => {
  const stop = new AbortController();
  const before = deadline(60_000, stop.signal);
  expect(before.aborted).toBe(false);
  stop.abort(new Error('stop'));
  expect(before.reason).toBe(stop.signal.reason);
  expect(deadline(60_000, stop.signal).reason).toBe(stop.signal.reason);
});
