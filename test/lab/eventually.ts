/** For what no event tells: asks again until the answer is there. The deadline is for a machine that is busy. */
import { setTimeout as delay } from 'node:timers/promises';

const PAUSE_MS = 50;

/** Resolves with the first answer that is not undefined; the error of the last failed ask is the cause. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`, { cause });
    await delay(PAUSE_MS);
  }
}
