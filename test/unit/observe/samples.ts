/** Facts of a healthy agent with one peer, to be changed by what a test is about. */
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import type { AgentFacts, PeerFacts, RaftFacts } from '../../../src/observe/agent-facts.ts';

export const raft: RaftFacts = {
  role: 'leader',
  term: 4,
  commitIndex: 815,
  appliedIndex: 815,
  leader: { id: 'a'.repeat(32), name: 'host-a' },
  voters: 3,
  learners: 1,
  missingVoters: [],
  udpBlocked: [],
  staleMs: 0,
};

export const peer: PeerFacts = {
  id: 'b'.repeat(32),
  name: 'host-b',
  publicIp: toIp('10.0.0.12'),
  subnet: toCidr('10.5.23.0/24'),
  path: 'direct',
  directPossible: true,
  installed: true,
  since: '2026-11-22T10:00:00.000Z',
  rttMs: 0.31,
  loss: 0,
  mtu: 1500,
  reason: null,
};

export const healthy: AgentFacts = {
  version: '1.0.0',
  clusterId: 'c1',
  node: { id: 'a'.repeat(32), name: 'host-a', publicIp: toIp('10.0.0.11'), publicIpv6: null, iface: 'eth0' },
  raft,
  lease: {
    subnet: toCidr('10.5.42.0/24'),
    ipv6Subnet: null,
    mtu: 1500,
    expiresAt: '2026-11-23T10:00:00.000Z',
  },
  ready: true,
  routes: { desired: 1, installed: 1, repaired: 0, foreign: 0 },
  peers: [peer],
  problems: [],
};
