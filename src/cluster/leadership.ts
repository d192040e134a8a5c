/**
 * What this replica does with its leadership besides taking commands: proves to a reader that it still has it, and hands
 * it over. Answers in the words of the wire, for whoever asked, here or elsewhere.
 */
import type { ReplicaId } from '../../raft/core/types.ts';
import type { RaftNode } from '../../raft/runtime/node.ts';
import type { TransferOutcome } from '../../raft/runtime/transfers.ts';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type { RpcAnswer } from './rpc.ts';

export interface LeadershipParts {
  readonly node: Pick<RaftNode<unknown>, 'status' | 'readIndex' | 'transferLeadership' | 'onApplied'>;
  isConnected(replica: ReplicaId): boolean;
  nameOf(replica: ReplicaId): string;
}

export class Leadership {
  readonly #parts: LeadershipParts;

  constructor(parts: LeadershipParts) {
    this.#parts = parts;
  }

  async readIndex(): Promise<RpcAnswer> {
    const answer = await this.#parts.node.readIndex();
    switch (answer.kind) {
      case 'ready':
        return { kind: 'read-index', index: answer.index };
      case 'not-leader':
        return answer;
      case 'lost':
        return { kind: 'uncertain' };
    }
  }

  /** On any replica: waits until it has applied the log that far. False when the signal aborts first. */
  async appliedUpTo(index: number, signal: AbortSignal): Promise<boolean> {
    const { node } = this.#parts;
    if (node.status().applied >= index) return true;
    if (signal.aborted) return false;
    return await new Promise<boolean>((resolve) => {
      const end = (reached: boolean): void => {
        stop();
        resolve(reached);
      };
      const stop = node.onApplied((applied) => (applied >= index ? end(true) : undefined));
      signal.addEventListener('abort', () => end(false), { once: true });
    });
  }

  /** To `target`, or to the voter that can go on at once. */
  async handOver(target: ReplicaId | null): Promise<RpcAnswer> {
    const { node, nameOf } = this.#parts;
    const { id, role } = node.status();
    if (target === id && role === 'leader') return { kind: 'transferred', leader: id };
    const heir = target ?? this.#heir();
    if (heir === null) return { kind: 'refused', refusal: nobodyElseVotes() };
    return transferAnswer(await node.transferLeadership(heir), heir, nameOf(heir));
  }

  /** The connected voter that has most of the log. */
  #heir(): ReplicaId | null {
    const { node, isConnected } = this.#parts;
    const { id, configuration, progress } = node.status();
    const matchOf = (voter: ReplicaId): number => progress.get(voter)?.match ?? 0;
    const [heir] = configuration.voters
      .filter((voter) => voter !== id && isConnected(voter))
      .toSorted((a, b) => matchOf(b) - matchOf(a));
    return heir ?? null;
  }
}

/** What became of a transfer, as the leader tells it. */
function transferAnswer(outcome: TransferOutcome, target: ReplicaId, name: string): RpcAnswer {
  switch (outcome.kind) {
    case 'transferred':
      return { kind: 'transferred', leader: target };
    case 'not-leader':
      return { kind: 'not-leader', leader: outcome.leader };
    case 'in-progress':
      return { kind: 'uncertain' };
    case 'invalid':
      return { kind: 'refused', refusal: cannotLead(name, outcome.reason) };
    case 'timed-out':
      return { kind: 'refused', refusal: didNotTakeOver(name) };
  }
}

function cannotLead(name: string, reason: string): Refusal {
  return refuse(
    'cannot-lead',
    EXIT.failed,
    `Host ${name} cannot lead: ${reason}.`,
    'Name a voter ("tsflannel members"), or make it one first with "tsflannel member promote".',
  );
}

function didNotTakeOver(name: string): Refusal {
  return refuse(
    'transfer-timed-out',
    EXIT.timeout,
    `Host ${name} did not take over in time; the cluster goes on with the leader it had.`,
    'Look whether that host is up ("tsflannel members"), or name another one.',
  );
}

function nobodyElseVotes(): Refusal {
  return refuse(
    'no-other-voter',
    EXIT.failed,
    'There is no other voter that could lead.',
    'Make one with "tsflannel member promote", or join a host that may vote.',
  );
}
