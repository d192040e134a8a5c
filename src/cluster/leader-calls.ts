/**
 * What any member may want of the leader besides a command in the log: a proof that it still leads, for a read that must
 * show every acknowledged write, and that another one leads. Finds the leader, wherever it is, and tries again while
 * leadership moves and answers are lost; both are safe to repeat.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicaId } from '../../raft/core/types.ts';
import { deadline } from '../deadline.ts';
import { TsflannelError } from '../errors.ts';
import type { RpcAnswer, RpcRequest } from './rpc.ts';

export interface LeaderCallParts {
  readonly self: ReplicaId;
  leader(): ReplicaId | null;
  /** Answers on this replica, as if another had asked. */
  answerHere(request: LeaderRequest): Promise<RpcAnswer>;
  /** Undefined when that replica cannot be asked now. */
  ask(to: ReplicaId, request: LeaderRequest, signal: AbortSignal): Promise<RpcAnswer | undefined>;
  /** The refusal for a time that ran out: who is missing. */
  noQuorum(): TsflannelError;
}

export type LeaderRequest = Extract<RpcRequest, { method: 'read-index' | 'transfer-leadership' }>;

const RETRY_MS = 50;
/** A leader that is paused or cut off must not use up the caller's time: another one may lead by then. */
const ATTEMPT_MS = 2_000;

/** Up to where this replica must have applied the log. Throws TsflannelError (exit 4) when the signal aborts. */
export async function readIndexAnywhere(parts: LeaderCallParts, signal: AbortSignal): Promise<number> {
  return (await call(parts, { method: 'read-index' }, 'read-index', signal)).index;
}

/** Who leads then. Throws TsflannelError: no quorum (4), or why the leader goes on leading. */
export async function transferAnywhere(
  parts: LeaderCallParts,
  target: ReplicaId | null,
  signal: AbortSignal,
): Promise<ReplicaId> {
  return (await call(parts, { method: 'transfer-leadership', target }, 'transferred', signal)).leader;
}

async function call<K extends RpcAnswer['kind']>(
  parts: LeaderCallParts,
  request: LeaderRequest,
  kind: K,
  signal: AbortSignal,
): Promise<Extract<RpcAnswer, { kind: K }>> {
  while (!signal.aborted) {
    const answer = await callOnce(parts, request, signal);
    if (answer !== undefined && isKind(answer, kind)) return answer;
    if (answer?.kind === 'refused') throw new TsflannelError(answer.refusal);
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
  throw parts.noQuorum();
}

async function callOnce(
  parts: LeaderCallParts,
  request: LeaderRequest,
  signal: AbortSignal,
): Promise<RpcAnswer | undefined> {
  const leader = parts.leader();
  if (leader === null) return undefined;
  const attempt = deadline(ATTEMPT_MS, signal);
  if (leader !== parts.self) return await parts.ask(leader, request, attempt);
  // A leader that has lost its majority answers only when it steps down.
  const aborted = new Promise<undefined>((resolve) => {
    attempt.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  return await Promise.race([parts.answerHere(request), aborted]);
}

function isKind<K extends RpcAnswer['kind']>(
  answer: RpcAnswer,
  kind: K,
): answer is Extract<RpcAnswer, { kind: K }> {
  return answer.kind === kind;
}
