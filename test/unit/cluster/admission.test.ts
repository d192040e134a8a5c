/** Who may join: each condition alone keeps a host out, and what is refused has not reached the log. */
import { randomBytes, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import type { Caller } from '../../../raft/transport/session.ts';
import { type AdmissionParts, admit, readmit } from '../../../src/cluster/admission.ts';
import { createIdentity } from '../../../src/cluster/identity.ts';
import { type JoinRequest, proofMessage, type RejoinRequest } from '../../../src/cluster/rpc.ts';
import { networkConfigFromOptions } from '../../../src/config/network-config.ts';
import { toIp } from '../../../src/net/ip.ts';
import { toClusterTime } from '../../../src/subnet/lease.ts';
import type { Member } from '../../../src/subnet/member.ts';
import type { ClusterState } from '../../../src/subnet/state.ts';
import { hashSecret, type Token } from '../../../src/subnet/token.ts';

const secret = 's'.repeat(43);
const token: Token = {
  id: '0123456789',
  secretHash: hashSecret(secret),
  role: 'learner',
  createdAt: toClusterTime(0),
  expiresAt: toClusterTime(1_000),
  usesMax: 1,
  uses: 0,
  revoked: false,
};
const exported = randomBytes(32);
const address = toIp('10.0.0.12');
const identity = createIdentity();
const requestId = 'r'.repeat(36);

function request(changes: Partial<JoinRequest> = {}): JoinRequest {
  return {
    method: 'join',
    requestId,
    tokenId: token.id,
    secret,
    publicKey: identity.publicKey.toString('base64'),
    proof: sign(null, proofMessage('join', exported, requestId), identity.privateKey).toString('base64'),
    name: 'host-b',
    address,
    port: 6473,
    role: null,
    ...changes,
  };
}

function caller(remoteAddress: string = address): Caller {
  return { replica: null, certificate: null, remoteAddress, exportKeyingMaterial: () => exported };
}

function state(changes: Partial<ClusterState>): ClusterState {
  const parsed = networkConfigFromOptions({});
  if (!parsed.ok) throw new Error(parsed.refusal.text);
  return {
    featureLevel: 1,
    clusterId: 'c'.repeat(32),
    epoch: 1,
    time: toClusterTime(0),
    index: 1,
    nextReplicaId: toReplicaId(2),
    config: parsed.config,
    configRevision: 1,
    peers: [],
    members: new Map(),
    tokens: new Map([[token.id, token]]),
    leases: new Map(),
    reservations: new Map(),
    released: new Map(),
    answers: [],
    ...changes,
  };
}

async function outcome(
  what: JoinRequest,
  who: Caller = caller(),
  changes: Partial<ClusterState> = {},
  now = 0,
): Promise<string> {
  let proposed = false;
  const parts: AdmissionParts = {
    state: state(changes),
    now: toClusterTime(now),
    caCert: 'ca',
    caKey: 'key',
    voters: [],
    isHeard: () => false,
    proposeHere: async () => {
      proposed = true;
      return { kind: 'again' };
    },
  };
  const admission = await admit(parts, what, who);
  if (admission.kind === 'refused') {
    expect(proposed).toBe(false);
    expect(admission.refusal.exitCode).toBe(6);
    return admission.refusal.code;
  }
  return proposed ? 'proposed' : admission.kind;
}

describe('a join', () => {
  it('with everything right reaches the log', async () => {
    expect(await outcome(request())).toBe('proposed');
  });

  it('is refused for the token', async () => {
    expect(await outcome(request({ tokenId: '9999999999' }))).toBe('token-unknown');
    expect(await outcome(request({ secret: 'x'.repeat(43) }))).toBe('wrong-secret');
    expect(await outcome(request(), caller(), {}, 1_000)).toBe('token-expired');
    const used = { tokens: new Map([[token.id, { ...token, uses: 1 }]]) };
    expect(await outcome(request(), caller(), used)).toBe('token-used-up');
    expect(await outcome(request({ role: 'voter' }))).toBe('learners-only');
  });

  it('that was applied already is not refused because it used the token up', async () => {
    const used = {
      tokens: new Map([[token.id, { ...token, uses: 1 }]]),
      answers: [
        {
          requestId,
          time: toClusterTime(0),
          nodeId: identity.nodeId,
          replicaId: toReplicaId(2),
          subnet: null,
        },
      ],
    };
    expect(await outcome(request(), caller(), used)).toBe('proposed');
    expect(await outcome(request({ secret: 'x'.repeat(43) }), caller(), used)).toBe('wrong-secret');
  });

  it('is refused to who does not hold the key, or speaks over another connection', async () => {
    const other = createIdentity();
    expect(await outcome(request({ publicKey: other.publicKey.toString('base64') }))).toBe('no-proof');
    expect(await outcome(request({ publicKey: 'bm90IGEga2V5' }))).toBe('no-proof');
    const elsewhere = { ...caller(), exportKeyingMaterial: () => randomBytes(32) };
    expect(await outcome(request(), elsewhere)).toBe('no-proof');
  });

  it('is refused to who speaks from another address than it announces', async () => {
    expect(await outcome(request(), caller('10.0.0.13'))).toBe('other-address');
  });
});

describe('a member that comes back', () => {
  const retired = toReplicaId(2);
  const member: Member = {
    nodeId: identity.nodeId,
    publicKey: identity.publicKey.toString('base64'),
    name: 'host-b',
    address,
    port: 6473,
    wantsVoter: null,
    replicaId: retired,
    joinedAt: toClusterTime(0),
  };
  const members = new Map([[member.nodeId, member]]);

  function rejoin(changes: Partial<RejoinRequest> = {}): RejoinRequest {
    const proof = sign(null, proofMessage('rejoin', exported, requestId), identity.privateKey);
    return {
      method: 'rejoin',
      requestId,
      retired,
      publicKey: member.publicKey,
      proof: proof.toString('base64'),
      ...changes,
    };
  }

  /** The code of the refusal, or what is proposed. */
  async function readmission(
    what: RejoinRequest,
    changes: Partial<AdmissionParts> = {},
    who: Caller = caller(),
  ): Promise<unknown> {
    const proposed: unknown[] = [];
    const admission = await readmit(
      {
        state: state({ members }),
        now: toClusterTime(0),
        caCert: 'ca',
        caKey: 'key',
        voters: [],
        isHeard: () => false,
        proposeHere: async (proposal) => {
          proposed.push(proposal);
          return { kind: 'again' };
        },
        ...changes,
      },
      what,
      who,
    );
    if (admission.kind !== 'refused') return proposed[0] ?? admission.kind;
    expect(proposed).toEqual([]);
    return admission.refusal.code;
  }

  it('needs its key and no token, wherever it speaks from', async () => {
    const proposal = { kind: 'rejoin', requestId, nodeId: member.nodeId, retired };
    expect(await readmission(rejoin())).toEqual(proposal);
    expect(await readmission(rejoin(), {}, caller('10.0.0.99'))).toEqual(proposal);
  });

  it('is refused to who does not hold the key, speaks over another connection, or shows a join', async () => {
    const other = createIdentity();
    expect(await readmission(rejoin({ publicKey: other.publicKey.toString('base64') }))).toBe('no-proof');
    const elsewhere = { ...caller(), exportKeyingMaterial: () => randomBytes(32) };
    expect(await readmission(rejoin(), {}, elsewhere)).toBe('no-proof');
    expect(await readmission(rejoin({ proof: request().proof }))).toBe('no-proof');
  });

  it('is refused to a stranger before anything reaches the log', async () => {
    expect(await readmission(rejoin(), { state: state({}) })).toBe('not-a-member');
  });

  it('waits until the replica that it was has gone', async () => {
    expect(await readmission(rejoin(), { isHeard: (replica) => replica === retired })).toBe('still-running');
    expect(await readmission(rejoin(), { isHeard: (replica) => replica !== retired })).toMatchObject({
      retired,
    });
  });

  it('waits for a leader that can sign', async () => {
    expect(await readmission(rejoin(), { caKey: null })).toBe('again');
  });
});
