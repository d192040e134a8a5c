/** A change of the replicated state that somebody waits for. */
import type { Proposal } from '../cluster/proposer.ts';
import type { Replica } from '../cluster/replica.ts';
import type { Call } from '../control/agent-api.ts';
import { TsflannelError } from '../errors.ts';
import type { CommandResult, CommandResultKind } from '../subnet/command-result.ts';

/** Proposes, and gives back the result of the kind that the command has; a refusal is thrown. */
export async function change<K extends CommandResultKind>(
  replica: Replica,
  proposal: Proposal,
  kind: K,
  { signal }: Call,
): Promise<CommandResult & { kind: K }> {
  const { result } = await replica.propose(proposal, signal);
  if (result.kind === 'refused') throw new TsflannelError(result.refusal);
  if (!isKind(result, kind)) throw new TypeError(`a ${proposal.kind} gave ${result.kind}`);
  return result;
}

function isKind<K extends CommandResultKind>(
  result: CommandResult,
  kind: K,
): result is CommandResult & { kind: K } {
  return result.kind === kind;
}
