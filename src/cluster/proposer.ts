/**
 * Gets a command into the log from any host: here when this replica leads, else over the stream to the leader. Tries
 * again while leadership moves and answers are lost, which is safe because every command is idempotent by its own ids.
 * Never decides whether a command may be proposed: the leader does, by the authenticated sender.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicaId } from '../../raft/core/types.ts';
import { TransportError } from '../../raft/transport/errors.ts';
import { DecodeError } from '../config/strict-json.ts';
import { deadline } from '../deadline.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import {
  type Command,
  commandVersion,
  decodeCommand,
  encodeCommand,
  UnknownCommandError,
} from '../subnet/command.ts';
import type { CommandResult } from '../subnet/command-result.ts';
import { decodeResult } from '../subnet/command-result.ts';
import { toClusterTime } from '../subnet/lease.ts';
import { aboveLevel } from '../subnet/lease-commands.ts';
import type { ClusterState } from '../subnet/state.ts';
import { encodeRpc, parseRpcAnswer } from './rpc.ts';

type WithoutTime<C> = C extends Command ? Omit<C, 'time'> : never;
/** A command before the leader has stamped it. */
export type Proposal = WithoutTime<Command>;

export interface Applied {
  readonly index: number;
  readonly result: CommandResult;
}

/** What became of one attempt. `again`: nobody knows, or nobody leads; asking again is safe. */
export type Attempt = ({ readonly kind: 'applied' } & Applied) | { readonly kind: 'again' };

export interface ProposerParts {
  readonly self: ReplicaId;
  leader(): ReplicaId | null;
  /** Stamps and proposes on this replica. */
  proposeHere(proposal: Proposal): Promise<Attempt>;
  request(to: ReplicaId, payload: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /** The refusal for a time that ran out: who is missing. */
  noQuorum(): TsflannelError;
}

const RETRY_MS = 50;
/** A leader that is paused or cut off must not use up the caller's time: another one may lead by then. */
const ATTEMPT_MS = 2_000;

/** Resolves to what the state machine said, refusals included. Throws TsflannelError (exit 4) when the signal aborts. */
export async function proposeAnywhere(
  parts: ProposerParts,
  proposal: Proposal,
  signal: AbortSignal,
): Promise<Applied> {
  while (!signal.aborted) {
    const attempt = await proposeOnce(parts, proposal, signal);
    if (attempt.kind === 'applied') return attempt;
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined); // the loop sees the abort
  }
  throw parts.noQuorum();
}

async function proposeOnce(parts: ProposerParts, proposal: Proposal, signal: AbortSignal): Promise<Attempt> {
  const leader = parts.leader();
  if (leader === null) return { kind: 'again' };
  const attemptSignal = deadline(ATTEMPT_MS, signal);
  if (leader === parts.self) return await raceAbort(parts.proposeHere(proposal), attemptSignal);
  return await forward(parts, leader, proposal, attemptSignal);
}

async function forward(
  parts: ProposerParts,
  leader: ReplicaId,
  proposal: Proposal,
  signal: AbortSignal,
): Promise<Attempt> {
  const command = encodeCommand({ ...proposal, time: toClusterTime(0) });
  const payload = encodeRpc({ method: 'propose', command: Buffer.from(command).toString('utf8') });
  try {
    const answer = parseRpcAnswer(await parts.request(leader, payload, signal));
    if (answer?.kind === 'refused') throw new TsflannelError(answer.refusal);
    if (answer?.kind !== 'applied') return { kind: 'again' };
    return { kind: 'applied', index: answer.index, result: decodeResult(Buffer.from(answer.result)) };
  } catch (error) {
    // A leader that is a version ahead may answer what this program cannot read; what it did arrives with the log.
    if (!(error instanceof TransportError) && !(error instanceof DecodeError)) throw error;
    return { kind: 'again' };
  }
}

/** A proposal on a leader that has lost its majority settles only when it steps down. */
async function raceAbort(attempt: Promise<Attempt>, signal: AbortSignal): Promise<Attempt> {
  const aborted = new Promise<Attempt>((resolve) => {
    signal.addEventListener('abort', () => resolve({ kind: 'again' }), { once: true });
  });
  return await Promise.race([attempt, aborted]);
}

/**
 * What a replica could not read must not get into the log: it would stop it, again at every start. Throws
 * TsflannelError for a command with a field that is too long or malformed, or above the level of the cluster, whoever
 * it came from.
 */
export function checkedBytes(command: Command, state: ClusterState | null): Uint8Array {
  if (state !== null && commandVersion(command) > state.featureLevel) throw new TsflannelError(aboveLevel());
  try {
    const bytes = encodeCommand(command);
    decodeCommand(bytes);
    return bytes;
  } catch (cause) {
    if (!(cause instanceof UnknownCommandError) && !(cause instanceof RangeError)) throw cause;
    const refusal = refuse(
      'malformed-command',
      EXIT.usage,
      `The cluster does not take this ${command.kind}: one of its values is malformed or too long.`,
      'Check the name, the addresses and the other options that were given.',
    );
    throw new TsflannelError(refusal, { cause });
  }
}
