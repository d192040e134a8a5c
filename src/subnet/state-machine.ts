/**
 * The replicated state machine: commands in, results out, one immutable state. Deterministic: no clock, no random
 * source, no order of anything that the log does not fix. Refusals are results and change nothing. The one thing it
 * throws is UnknownCommandError, and the replica must stop on it: skipping what the others apply would part them.
 */

import type { CommandEntry } from '../../raft/core/types.ts';
import type { StateMachine } from '../../raft/runtime/state-machine.ts';
import { EXIT, refuse } from '../errors.ts';
import { type Command, decodeCommand, stampCommand } from './command.ts';
import { type CommandResult, refused } from './command-result.ts';
import { type ClusterTime, toClusterTime } from './lease.ts';
import * as leases from './lease-commands.ts';
import * as members from './member-commands.ts';
import { type ClusterState, decodeState, encodeStateInPieces } from './state.ts';
import type { Outcome, Transition } from './transition.ts';

export class SubnetStateMachine implements StateMachine<CommandResult> {
  #state: ClusterState | null = null;

  /** Null until the bootstrap command or a snapshot has come. A new value after every command; never changed in place. */
  get state(): ClusterState | null {
    return this.#state;
  }

  /** Throws UnknownCommandError for a payload this program does not know, and nothing else. */
  apply(entry: CommandEntry): CommandResult {
    const { state, result } = transition(this.#state, decodeCommand(entry.payload), entry.index);
    this.#state = state;
    return result;
  }

  snapshot(): Iterable<Uint8Array> {
    return encodeStateInPieces(this.#state);
  }

  restore(data: Uint8Array): void {
    this.#state = decodeState(data);
  }
}

/** One step of the machine. Time never goes back, whatever a new leader stamps. */
export function transition(before: ClusterState | null, command: Command, index: number): Transition {
  if (before === null)
    return command.kind === 'bootstrap' ? members.bootstrap(command, index) : notBootstrapped();
  const time: ClusterTime = toClusterTime(Math.max(before.time, command.time));
  return handle({ ...before, time, index }, stampCommand(command, time));
}

function handle(state: ClusterState, command: Command): Outcome {
  switch (command.kind) {
    case 'bootstrap':
      return members.bootstrapAgain(state, command);
    case 'join':
      return members.join(state, command);
    case 'rejoin':
      return members.rejoin(state, command);
    case 'member-role':
      return members.setRole(state, command);
    case 'member-update':
      return members.updateMember(state, command);
    case 'member-remove':
      return members.removeMember(state, command);
    case 'token-create':
      return members.createToken(state, command);
    case 'token-revoke':
      return members.revokeToken(state, command);
    case 'acquire':
      return leases.acquire(state, command);
    case 'renew':
      return leases.renew(state, command);
    case 'update-attributes':
      return leases.updateAttributes(state, command);
    case 'release':
      return leases.release(state, command);
    case 'reserve':
      return leases.reserve(state, command);
    case 'unreserve':
      return leases.unreserve(state, command);
    case 'mark-absent':
      return leases.markAbsent(state, command);
    case 'set-config':
      return leases.setConfig(state, command);
  }
}

function notBootstrapped(): Transition {
  const refusal = refuse(
    'not-initialised',
    EXIT.failed,
    'This cluster has no first entry yet.',
    'Wait for "tsflannel init" to finish, or repeat it.',
  );
  return { state: null, result: refused(refusal) };
}
