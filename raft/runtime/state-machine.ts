/**
 * The application's side of the log. Everything here is synchronous and deterministic: the same entries give the same
 * state, results and snapshot bytes on every replica.
 */
import type { CommandEntry } from '../core/types.ts';

export interface StateMachine<Result> {
  /** Called once for each committed command, in log order. Refusals are results; a throw stops the replica for good. */
  apply(entry: CommandEntry): Result;
  /**
   * The state as it is at this call, in pieces that are made as they are asked for, over several turns of the event loop:
   * commands that are applied meanwhile do not show in them. Cheap for a state that is never changed in place.
   */
  snapshot(): Iterable<Uint8Array>;
  /** Replaces the whole state. Throws for bytes it did not write. */
  restore(data: Uint8Array): void;
}
