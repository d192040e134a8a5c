/**
 * Answers what other hosts ask this member: who leads, may I join, put this into the log, give me the CA key, up to where
 * must I have read, let another lead. Decides by who the caller has proven to be and never by what it says of itself. One bad request costs its sender an error and
 * nobody else anything.
 */
import type { ReplicaId } from '../../raft/core/types.ts';
import type { Caller } from '../../raft/transport/session.ts';
import type { Refusal } from '../errors.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import { authorize, type Sender } from '../subnet/authority.ts';
import { type Command, decodeCommand, UnknownCommandError } from '../subnet/command.ts';
import { encodeResult } from '../subnet/command-result.ts';
import { type Admission, type AdmissionParts, admit, readmit } from './admission.ts';
import type { Proposal } from './proposer.ts';
import {
  encodeRpc,
  type ProbeAnswer,
  type ProposeRequest,
  parseRpcRequest,
  type RpcAnswer,
  type RpcRequest,
} from './rpc.ts';

/** What the answers are made of; asked anew for each request. */
export interface RpcServerParts {
  probe(): ProbeAnswer;
  /** Null while this replica does not lead or has no state yet. */
  admission(): AdmissionParts | null;
  notLeader(): RpcAnswer;
  /** By the member records; undefined for a caller that is no member. */
  senderOf(caller: Caller): Sender | undefined;
  caKey(): string | null;
  readIndex(): Promise<RpcAnswer>;
  transferLeadership(target: ReplicaId | null): Promise<RpcAnswer>;
}

/** Never rejects for what a caller sent: the answer says what was wrong. */
export async function answerRpc(
  parts: RpcServerParts,
  caller: Caller,
  payload: Uint8Array,
): Promise<Uint8Array> {
  const request = parseRpcRequest(payload);
  if (request === undefined) return encodeRpc(refused(notUnderstood()));
  try {
    return encodeRpc(await answer(parts, caller, request));
  } catch (error) {
    if (!(error instanceof TsflannelError)) throw error;
    return encodeRpc(refused(error.refusal));
  }
}

async function answer(parts: RpcServerParts, caller: Caller, request: RpcRequest): Promise<RpcAnswer> {
  switch (request.method) {
    case 'probe':
      return parts.probe();
    case 'join':
      return await answerEntry(parts, (admission) => admit(admission, request, caller));
    case 'rejoin':
      return await answerEntry(parts, (admission) => readmit(admission, request, caller));
    case 'propose':
      return await answerPropose(parts, request, caller);
    case 'ca-key':
      return answerCaKey(parts, caller);
    case 'read-index':
      return parts.senderOf(caller) === undefined ? refused(notAMember()) : await parts.readIndex();
    case 'transfer-leadership':
      if (parts.senderOf(caller)?.role !== 'voter') return refused(notAMember());
      return await parts.transferLeadership(request.target);
  }
}

async function answerEntry(
  parts: RpcServerParts,
  enter: (admission: AdmissionParts) => Promise<Admission>,
): Promise<RpcAnswer> {
  const admission = parts.admission();
  if (admission === null) return parts.notLeader();
  const answer = await enter(admission);
  return answer.kind === 'again' ? { kind: 'uncertain' } : answer;
}

async function answerPropose(
  parts: RpcServerParts,
  request: ProposeRequest,
  caller: Caller,
): Promise<RpcAnswer> {
  const sender = parts.senderOf(caller);
  if (sender === undefined) return refused(notAMember());
  const command = parseCommand(request.command);
  if (command === undefined) return refused(notUnderstood());
  const refusal = authorize(command, sender);
  if (refusal !== null) return refused(refusal);
  const admission = parts.admission();
  if (admission === null) return parts.notLeader();
  const { time: _, ...proposal } = command;
  const attempt = await admission.proposeHere(proposal satisfies Proposal);
  if (attempt.kind === 'again') return { kind: 'uncertain' };
  const result = Buffer.from(encodeResult(attempt.result)).toString('utf8');
  return { kind: 'applied', index: attempt.index, result };
}

function answerCaKey(parts: RpcServerParts, caller: Caller): RpcAnswer {
  if (parts.senderOf(caller)?.role !== 'voter') return refused(notAMember());
  const caKey = parts.caKey();
  return caKey === null ? { kind: 'uncertain' } : { kind: 'ca-key', caKey };
}

function parseCommand(text: string): Command | undefined {
  try {
    return decodeCommand(Buffer.from(text, 'utf8'));
  } catch (error) {
    if (error instanceof UnknownCommandError) return undefined;
    throw error;
  }
}

function refused(refusal: Refusal): RpcAnswer {
  return { kind: 'refused', refusal };
}

function notUnderstood(): Refusal {
  return refuse(
    'not-understood',
    EXIT.failed,
    'The other host does not understand the request.',
    'Run the same version of tsflannel on all hosts, or versions that are one apart.',
  );
}

function notAMember(): Refusal {
  return refuse(
    'not-a-member',
    EXIT.refused,
    'Only a member of the cluster may ask for this.',
    'Join the cluster first.',
  );
}
