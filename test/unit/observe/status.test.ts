import { expect, test } from 'vitest';
import { buildStatus, failureTolerance } from '../../../src/observe/status.ts';
import { healthy } from './samples.ts';

test('the document of the contract', () => {
  expect(buildStatus(healthy)).toEqual({
    version: '1.0.0',
    health: 'healthy',
    ready: true,
    problems: [],
    cluster: { id: 'c1' },
    node: { id: 'a'.repeat(32), name: 'host-a', publicIp: '10.0.0.11', publicIpv6: null, iface: 'eth0' },
    raft: {
      role: 'leader',
      term: 4,
      commitIndex: 815,
      appliedIndex: 815,
      leader: { id: 'a'.repeat(32), name: 'host-a' },
      voters: 3,
      learners: 1,
      failureTolerance: 1,
    },
    lease: { subnet: '10.5.42.0/24', ipv6Subnet: null, mtu: 1500, expiresAt: '2026-11-23T10:00:00.000Z' },
    routes: { desired: 1, installed: 1, repaired: 0, foreign: 0 },
    peers: [
      {
        id: 'b'.repeat(32),
        name: 'host-b',
        publicIp: '10.0.0.12',
        subnet: '10.5.23.0/24',
        path: 'direct',
        since: '2026-11-22T10:00:00.000Z',
        rttMs: 0.31,
        loss: 0,
        mtu: 1500,
        reason: null,
      },
    ],
  });
});

test('what is not known is null', () => {
  const { raft, lease, cluster } = buildStatus({ ...healthy, raft: null, lease: null, clusterId: null });
  expect(new Set(Object.values(raft))).toEqual(new Set([null]));
  expect({ lease, cluster }).toEqual({ lease: null, cluster: { id: null } });
});

test('a majority must remain', () => {
  expect([0, 1, 2, 3, 4, 5, 7].map(failureTolerance)).toEqual([0, 0, 0, 1, 1, 2, 3]);
});
