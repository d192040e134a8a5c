/** What hosts say to each other: read back as it was written, and hostile until parsed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toReplicaId } from '../../../raft/core/types.ts';
import {
  encodeRpc,
  parseRpcAnswer,
  parseRpcRequest,
  type RpcAnswer,
  type RpcRequest,
} from '../../../src/cluster/rpc.ts';
import { toIp } from '../../../src/net/ip.ts';
import { toNodeId } from '../../../src/subnet/lease.ts';

const join: RpcRequest = {
  method: 'join',
  requestId: 'r'.repeat(36),
  tokenId: '0123456789',
  secret: 's'.repeat(43),
  publicKey: 'cHVibGlj',
  proof: 'cHJvb2Y=',
  name: 'host-b',
  address: toIp('10.0.0.12'),
  port: 6473,
  role: null,
};
const rejoin: RpcRequest = {
  method: 'rejoin',
  requestId: 'rejoin-2',
  retired: toReplicaId(2),
  publicKey: 'cHVibGlj',
  proof: 'cHJvb2Y=',
};
const joined: RpcAnswer = {
  kind: 'joined',
  clusterId: 'c'.repeat(32),
  epoch: 1,
  replicaId: toReplicaId(2),
  nodeCert: 'node',
  caCert: 'ca',
  known: [
    {
      replicaId: toReplicaId(1),
      nodeId: toNodeId('0'.repeat(32)),
      endpoint: { host: '10.0.0.11', port: 6473 },
    },
  ],
};
const requests: RpcRequest[] = [
  { method: 'probe' },
  join,
  { method: 'propose', command: '{}' },
  { method: 'ca-key' },
  rejoin,
  { method: 'read-index' },
  { method: 'transfer-leadership', target: null },
  { method: 'transfer-leadership', target: toReplicaId(3) },
];
const answers: RpcAnswer[] = [
  {
    kind: 'probe',
    state: 'member',
    clusterId: 'c',
    epoch: 1,
    address: toIp('10.0.0.11'),
    peers: [],
    isLeader: false,
    leader: { host: '10.0.0.12', port: 6473 },
    missing: ['host-c'],
  },
  joined,
  { kind: 'applied', index: 7, result: '{}' },
  { kind: 'ca-key', caKey: 'pem' },
  { kind: 'read-index', index: 7 },
  { kind: 'transferred', leader: toReplicaId(3) },
  { kind: 'not-leader', leader: null },
  { kind: 'uncertain' },
  { kind: 'refused', refusal: { code: 'no', exitCode: 6, text: 'No.', fix: 'Do not.' } },
];

describe('requests and answers', () => {
  it.each(requests)('reads back %o', (request) => {
    expect(parseRpcRequest(encodeRpc(request))).toEqual(request);
  });

  it.each(answers)('reads back %o', (answer) => {
    expect(parseRpcAnswer(encodeRpc(answer))).toEqual(answer);
  });

  it('takes nothing with a field that is wrong', () => {
    for (const [field, value] of [
      ['address', '10.0.0.256'],
      ['port', 0],
      ['role', 'king'],
      ['name', 7],
      ['requestId', 'x'.repeat(65)],
    ] as const) {
      expect(parseRpcRequest(Buffer.from(JSON.stringify({ ...join, [field]: value })))).toBeUndefined();
    }
    for (const change of [{ retired: 0 }, { requestId: 7 }, { publicKey: 'x'.repeat(257) }, { proof: null }])
      expect(parseRpcRequest(Buffer.from(JSON.stringify({ ...rejoin, ...change })))).toBeUndefined();
    for (const target of [0, 'b', undefined])
      expect(
        parseRpcRequest(Buffer.from(JSON.stringify({ method: 'transfer-leadership', target }))),
      ).toBeUndefined();
    for (const answer of [
      { kind: 'read-index', index: 1.5 },
      { kind: 'transferred', leader: null },
    ])
      expect(parseRpcAnswer(Buffer.from(JSON.stringify(answer)))).toBeUndefined();
    for (const [field, value] of [
      ['replicaId', 0],
      ['replicaId', 1.5],
      ['known', [{}]],
      ['epoch', '1'],
    ] as const) {
      expect(parseRpcAnswer(Buffer.from(JSON.stringify({ ...joined, [field]: value })))).toBeUndefined();
    }
  });

  it('never throws, whatever comes', () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 256 }),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .record({
          method: fc.constantFrom('join', 'rejoin', 'propose', 'probe', 'transfer-leadership'),
          kind: fc.constantFrom(
            'joined',
            'probe',
            'refused',
            'applied',
            'not-leader',
            'transferred',
            'read-index',
          ),
          leader: fc.anything(),
          target: fc.anything(),
          index: fc.anything(),
          retired: fc.anything(),
          known: fc.anything(),
          refusal: fc.anything(),
          command: fc.anything(),
        })
        .map((value) => Buffer.from(safeJson(value))),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        parseRpcRequest(bytes);
        parseRpcAnswer(bytes);
      }),
    );
  });
});

function safeJson(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    typeof field === 'bigint' ? field.toString() : field,
  );
}
