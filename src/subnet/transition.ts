/** What every command handler gives back, and the refusals they share. Handlers are pure: (state, command) -> Outcome. */

import { ANSWERS_MAX } from '../config/limits.ts';
import { EXIT, type ExitCode, refuse } from '../errors.ts';
import { ANSWER_LIFETIME_MS, addTime } from './cluster-time.ts';
import { type CommandResult, refused } from './command-result.ts';
import type { NodeId } from './lease.ts';
import type { Answer, ClusterState } from './state.ts';

/** The state after a command, and its result. A refusal leaves the state as it was; null is before the bootstrap. */
export interface Transition<State extends ClusterState | null = ClusterState | null> {
  readonly state: State;
  readonly result: CommandResult;
}

/** Of a command that met a cluster. */
export type Outcome = Transition<ClusterState>;

export function refuseWith(
  state: ClusterState,
  code: string,
  exitCode: ExitCode,
  text: string,
  fix: string,
): Outcome {
  return { state, result: refused(refuse(code, exitCode, text, fix)) };
}

export function notAMember(state: ClusterState, nodeId: NodeId): Outcome {
  return refuseWith(
    state,
    'not-a-member',
    EXIT.refused,
    `Host ${nodeId} is not a member of cluster ${state.clusterId}.`,
    'Join it again with "tsflannel join TOKEN ADDR".',
  );
}

/** The answer this request got before, as long as it is remembered. */
export function answerTo(state: ClusterState, requestId: string, nodeId: NodeId): Answer | undefined {
  return state.answers.findLast((answer) => answer.requestId === requestId && answer.nodeId === nodeId);
}

/** Adds one answer and forgets those that are too old or too many. */
export function remember(state: ClusterState, answer: Answer): readonly Answer[] {
  const fresh = state.answers.filter((old) => addTime(old.time, ANSWER_LIFETIME_MS) > state.time);
  return [...fresh, answer].slice(-ANSWERS_MAX);
}

export function superseded(state: ClusterState): Outcome {
  return refuseWith(
    state,
    'request-superseded',
    EXIT.conflict,
    'This request was answered before, and what it got has been given up since.',
    'Repeat the command; it will ask anew.',
  );
}
