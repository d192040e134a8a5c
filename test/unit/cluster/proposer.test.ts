/** A command reaches the log from any host, whatever happens to leaders and answers on the way, or the caller is told. */
import { describe, expect, it } from 'vitest';
import { type ReplicaId, toReplicaId } from '../../../raft/core/types.ts';
import { TransportError } from '../../../raft/transport/errors.ts';
import {
  type Attempt,
  type Proposal,
  type ProposerParts,
  proposeAnywhere,
} from '../../../src/cluster/proposer.ts';
import { encodeRpc, parseRpcRequest, type RpcAnswer } from '../../../src/cluster/rpc.ts';
import { refuse, TsflannelError } from '../../../src/errors.ts';
import { decodeCommand } from '../../../src/subnet/command.ts';
import { type CommandResult, encodeResult } from '../../../src/subnet/command-result.ts';

const self = toReplicaId(1);
const other = toReplicaId(2);
const proposal: Proposal = { kind: 'token-revoke', tokenId: '0123456789' };
const result: CommandResult = { kind: 'token-revoked', tokenId: '0123456789' };
const applied: Attempt = { kind: 'applied', index: 5, result };

function parts(changes: Partial<ProposerParts>): ProposerParts {
  return {
    self,
    leader: () => self,
    proposeHere: async () => applied,
    request: async () => {
      throw new Error('nobody asked for this');
    },
    noQuorum: () => new TsflannelError(refuse('no-quorum', 4, 'No quorum.', 'Wait.')),
    ...changes,
  };
}

const answering = (answer: RpcAnswer) => async (): Promise<Uint8Array> => encodeRpc(answer);

describe('proposing', () => {
  it('goes into the own log on the leader', async () => {
    expect(await proposeAnywhere(parts({}), proposal, AbortSignal.timeout(10_000))).toMatchObject({
      index: 5,
      result,
    });
  });

  it('goes to the leader from another host, as a command without a time of its own', async () => {
    let sent: unknown;
    const forwarding = parts({
      leader: () => other,
      request: async (to, payload) => {
        const request = parseRpcRequest(payload);
        if (request?.method !== 'propose') throw new Error('not a proposal');
        sent = { to, command: decodeCommand(Buffer.from(request.command)) };
        return encodeRpc({ kind: 'applied', index: 9, result: Buffer.from(encodeResult(result)).toString() });
      },
    });
    expect(await proposeAnywhere(forwarding, proposal, AbortSignal.timeout(10_000))).toMatchObject({
      index: 9,
      result,
    });
    expect(sent).toEqual({ to: other, command: { ...proposal, time: 0 } });
  });

  it('tries again while nobody leads, leadership moves and answers are lost', async () => {
    const leaders: (ReplicaId | null)[] = [null, other, other, other, self];
    const answers = [
      answering({ kind: 'not-leader', leader: null }),
      answering({ kind: 'uncertain' }),
      async () => {
        throw new TransportError('closed', 'the session ended');
      },
    ];
    const moving = parts({
      leader: () => (leaders.length === 0 ? self : (leaders.shift() ?? null)),
      request: async () => (await answers.shift()?.()) ?? new Uint8Array(),
    });
    expect(await proposeAnywhere(moving, proposal, AbortSignal.timeout(10_000))).toMatchObject({ index: 5 });
    expect(answers).toEqual([]);
  });

  it('passes on what the leader refuses', async () => {
    const refusal = refuse('not-a-voter', 6, 'Not a voter.', 'Ask one.');
    const refusing = parts({ leader: () => other, request: answering({ kind: 'refused', refusal }) });
    await expect(proposeAnywhere(refusing, proposal, AbortSignal.timeout(10_000))).rejects.toMatchObject({
      refusal,
    });
  });

  it('ends with who is missing when time is over, also while a proposal hangs', async () => {
    const hanging = parts({ proposeHere: () => new Promise(() => undefined) });
    await expect(proposeAnywhere(hanging, proposal, AbortSignal.timeout(20))).rejects.toMatchObject({
      refusal: { code: 'no-quorum', exitCode: 4 },
    });
    await expect(
      proposeAnywhere(parts({ leader: () => null }), proposal, AbortSignal.timeout(20)),
    ).rejects.toMatchObject({ refusal: { exitCode: 4 } });
  });
});
