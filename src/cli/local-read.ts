/** Prints what an agent read from its own state, and says when that is not the cluster's newest. */
import type { LocalRead } from '../control/answers.ts';
import type { Context } from './context.ts';
import { duration } from './table.ts';

/** Heartbeats keep a connected host well below this. */
const STALE_MS_MIN = 3_000;

export function reportLocal<T>(
  context: Context,
  { data, staleMs }: LocalRead<T>,
  text: (data: T) => string,
): void {
  context.output.report({ document: data, text: text(data) });
  if (staleMs >= STALE_MS_MIN)
    context.output.remark(
      `This is what this host knew ${duration(staleMs)} ago: it is not in touch with a leader.`,
    );
}
