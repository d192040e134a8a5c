/** A question reaches the leader from any host, whatever happens to leaders and answers on the way, or the caller is told. */
import { describe, expect, it } from 'vitest';
import { type ReplicaId, toReplicaId } from '../../../raft/core/types.ts';
import {
  type LeaderCallParts,
  type LeaderRequest,
  readIndexAnywhere,
  transferAnywhere,
} from '../../../src/cluster/leader-calls.ts';
import type { RpcAnswer } from '../../../src/cluster/rpc.ts';
import { refuse, TsflannelError } from '../../../src/errors.ts';

const self = toReplicaId(1);
const other = toReplicaId(2);

function parts(changes: Partial<LeaderCallParts>): LeaderCallParts {
  return {
    self,
    leader: () => self,
    answerHere: async () => ({ kind: 'read-index', index: 5 }),
    ask: async () => {
      throw new Error('nobody asked for this');
    },
    noQuorum: () => new TsflannelError(refuse('no-quorum', 4, 'No quorum.', 'Wait.')),
    ...changes,
  };
}

const soon = (): AbortSignal => AbortSignal.timeout(10_000);

describe('a question to the leader', () => {
  it('is answered here where this replica leads', async () => {
    expect(await readIndexAnywhere(parts({}), soon())).toBe(5);
  });

  it('goes to the leader from another host', async () => {
    const asked: [ReplicaId, LeaderRequest][] = [];
    const ask: LeaderCallParts['ask'] = async (to, request) => {
      asked.push([to, request]);
      return { kind: 'transferred', leader: other };
    };
    expect(await transferAnywhere(parts({ leader: () => other, ask }), self, soon())).toBe(other);
    expect(asked).toEqual([[other, { method: 'transfer-leadership', target: self }]]);
  });

  it('is asked again while nobody leads, leadership moves and answers are lost', async () => {
    const leaders: (ReplicaId | null)[] = [null, other, other, other];
    const answers: (RpcAnswer | undefined)[] = [
      undefined,
      { kind: 'not-leader', leader: null },
      { kind: 'uncertain' },
    ];
    const moving = parts({
      leader: () => (leaders.length === 0 ? self : (leaders.shift() ?? null)),
      ask: async () => answers.shift(),
    });
    expect(await readIndexAnywhere(moving, soon())).toBe(5);
    expect(answers).toEqual([]);
  });

  it('passes on what the leader refuses', async () => {
    const refusal = refuse('no-other-voter', 1, 'Nobody else votes.', 'Join one.');
    const refusing = parts({ answerHere: async () => ({ kind: 'refused', refusal }) });
    await expect(transferAnywhere(refusing, null, soon())).rejects.toMatchObject({ refusal });
  });

  it('ends with who is missing when time is over, also while the answer hangs', async () => {
    const noQuorum = { refusal: { code: 'no-quorum', exitCode: 4 } };
    const hanging = parts({ answerHere: () => new Promise(() => undefined) });
    await expect(readIndexAnywhere(hanging, AbortSignal.timeout(20))).rejects.toMatchObject(noQuorum);
    const leaderless = parts({ leader: () => null });
    await expect(readIndexAnywhere(leaderless, AbortSignal.timeout(20))).rejects.toMatchObject(noQuorum);
  });
});
