/**
 * The words between `--detach` and the agent it leaves in the background: one message, that it is ready or why not, over
 * node's IPC channel. After it the channel is closed and the two have nothing to do with each other.
 */

import { isRecord, isString } from '../control/guard.ts';
import { isRefusal } from '../control/protocol.ts';
import type { Refusal } from '../errors.ts';
import type { Environment } from './given.ts';
import { DETACHED_VARIABLE } from './options.ts';
import type { Report } from './output.ts';

export type DetachMessage =
  | { readonly kind: 'ready'; readonly report: Report }
  | { readonly kind: 'failed'; readonly refusal: Refusal };

export interface ParentChannel {
  /** Once. A parent that is gone is told nothing. */
  send(message: DetachMessage): Promise<void>;
}

/** Null where the agent was not started by `--detach`. */
export function parentChannel(environment: Environment): ParentChannel | null {
  if (environment[DETACHED_VARIABLE] !== '1' || process.send === undefined) return null;
  return {
    async send(message) {
      if (!process.connected) return;
      await new Promise<void>((resolve) => {
        process.send?.(message, undefined, {}, () => resolve());
      });
      process.disconnect();
    },
  };
}

export function isDetachMessage(value: unknown): value is DetachMessage {
  if (!isRecord(value)) return false;
  const { kind, report, refusal } = value;
  if (kind === 'failed') return isRefusal(refusal);
  return kind === 'ready' && isRecord(report) && isString(report['text']) && 'document' in report;
}
