/** A lab for the tests of one file: made before the first, removed after the last, and its story told on a failure. */
import { afterAll, beforeAll, beforeEach, onTestFailed } from 'vitest';
import { Lab } from './lab.ts';

/** Call it at the top of a test file or of a `describe`. The lab is there once the hooks have run. */
export function useLab(build: (lab: Lab) => Promise<void>): void {
  let lab: Lab | undefined;
  beforeAll(async () => {
    lab = await Lab.create();
    await build(lab);
  });
  beforeEach(() => {
    onTestFailed(() => {
      if (lab !== undefined) process.stderr.write(`${lab.report()}\n`);
    });
  });
  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]();
  });
}
