/**
 * The application's side of the log. Everything here is synchronous and deterministic: the same entries give the same
 * state, results and snapshot bytes on every replica.
 */
import type { CommandEntry } from '../core/types.ts';

export interface StateMachine<Result> {
  /** Called once for each committed command, in log order. Refusals are results; a throw stops the replica for good. */
  apply(entry: CommandEntry): Result;
  snapshot(): Uint8Array;
  /** Replaces the whole state. Throws for bytes it did not write. */
  restore(data: Uint8Array): void;
}
