/**
 * Who may propose what. The sender is the authenticated holder of the session the proposal came over, never something
 * the command says. A learner acts for itself only; everything else comes from a voter. Pure.
 */
import { EXIT, type Refusal, refuse } from '../errors.ts';
import type { Command } from './command.ts';
import type { NodeId } from './lease.ts';

export interface Sender {
  readonly nodeId: NodeId;
  readonly role: 'voter' | 'learner';
}

/** Null when the sender may; the leader asks before it proposes. */
export function authorize(command: Command, sender: Sender): Refusal | null {
  if (sender.role === 'voter') return null;
  switch (command.kind) {
    case 'acquire':
    case 'renew':
    case 'update-attributes':
    case 'release':
    case 'member-update':
    case 'member-remove':
      return command.nodeId === sender.nodeId ? null : notYours(command.kind);
    case 'bootstrap':
    case 'join':
    case 'rejoin':
    case 'member-role':
    case 'token-create':
    case 'token-revoke':
    case 'reserve':
    case 'unreserve':
    case 'mark-absent':
    case 'set-config':
      return refuse(
        'not-a-voter',
        EXIT.refused,
        `This host is a learner, and "${command.kind}" is for voters.`,
        'Run the command on a voter; "tsflannel members" names them.',
      );
  }
}

function notYours(kind: string): Refusal {
  return refuse(
    'not-yours',
    EXIT.refused,
    `This host is a learner and asked for "${kind}" in the name of another host.`,
    'Run the command on a voter; "tsflannel members" names them.',
  );
}
