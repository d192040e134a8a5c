import { describe, expect, test } from 'vitest';
import type { AgentFacts } from '../../../src/observe/agent-facts.ts';
import { assess, isReached } from '../../../src/observe/health.ts';
import { healthy, peer, raft } from './samples.ts';

function codes(facts: AgentFacts): readonly string[] {
  return assess(facts).problems.map((problem) => problem.code);
}

describe('health', () => {
  test('nothing wrong is healthy', () => {
    expect(assess(healthy)).toEqual({ health: 'healthy', problems: [] });
  });

  test.each<[string, AgentFacts, string, string]>([
    ['no leader', { ...healthy, raft: { ...raft, leader: null } }, 'no-quorum', 'no-quorum'],
    ['no replica', { ...healthy, raft: null }, 'no-quorum', 'raft-not-running'],
    [
      'a voter is missing',
      { ...healthy, raft: { ...raft, missingVoters: [{ id: '1', name: 'host-c' }] } },
      'degraded',
      'voter-missing',
    ],
    ['no lease', { ...healthy, lease: null, ready: false }, 'degraded', 'no-lease'],
    ['not programmed yet', { ...healthy, ready: false }, 'degraded', 'not-ready'],
    [
      'a route is missing',
      { ...healthy, routes: { ...healthy.routes, installed: 0 } },
      'degraded',
      'route-missing',
    ],
    [
      'a route is occupied',
      { ...healthy, routes: { ...healthy.routes, installed: 0, foreign: 1 } },
      'degraded',
      'foreign-route',
    ],
    ['a peer is down', { ...healthy, peers: [{ ...peer, path: 'down' }] }, 'degraded', 'peer-down'],
  ])('%s', (_, facts, health, code) => {
    expect(assess(facts).health).toBe(health);
    expect(codes(facts)).toEqual([code]);
  });

  test('what a part reports is red or only shown', () => {
    const problem = { code: 'two-clusters', text: 'T.', fix: 'F.' };
    expect(assess({ ...healthy, problems: [{ ...problem, severity: 'error' }] }).health).toBe('degraded');
    expect(assess({ ...healthy, problems: [{ ...problem, severity: 'warning' }] })).toEqual({
      health: 'healthy',
      problems: [{ ...problem, severity: 'warning' }],
    });
  });

  test('peers that datagrams do not reach are named, with the port, and the host stays healthy', () => {
    const udpBlocked = [
      { name: 'host-b', port: 6473 },
      { name: 'host-c', port: 6473 },
    ];
    expect(assess({ ...healthy, raft: { ...raft, udpBlocked } })).toEqual({
      health: 'healthy',
      problems: [
        {
          code: 'udp-blocked',
          severity: 'warning',
          text: 'UDP port 6473 does not answer on host-b, host-c, so the cluster talks to them over TCP, which is slower.',
          fix: 'Let UDP port 6473 through between the hosts, in both directions.',
        },
      ],
    });
  });

  test('missing voters are named', () => {
    const missingVoters = [
      { id: '1', name: 'host-b' },
      { id: '2', name: 'host-c' },
    ];
    const { problems } = assess({ ...healthy, raft: { ...raft, leader: null, missingVoters } });
    expect(problems[0]?.text).toBe('No leader among 3 voters; missing: host-b, host-c.');
  });

  test('every problem is a sentence with what to do', () => {
    const worst = assess({
      ...healthy,
      raft: { ...raft, leader: null },
      ready: false,
      routes: { desired: 9, installed: 3, repaired: 0, foreign: 1 },
      peers: [{ ...peer, path: 'down', reason: 'no answer on either path' }],
    });
    expect(worst.problems).toHaveLength(5);
    for (const { text, fix } of worst.problems) {
      expect(text).toMatch(/^[A-Z0-9].*\.$/);
      expect(fix).toMatch(/^[A-Z].*\.$/);
    }
  });
});

describe('what --wait waits for', () => {
  test('all of it holds on a healthy host', () => {
    for (const target of ['lease', 'ready', 'quorum', 'direct'] as const)
      expect(isReached(target, healthy)).toBe(true);
  });

  test('each by its own condition', () => {
    expect(isReached('lease', { ...healthy, lease: null })).toBe(false);
    expect(isReached('lease', { ...healthy, raft: null, ready: false })).toBe(true);
    expect(isReached('ready', { ...healthy, ready: false })).toBe(false);
    expect(isReached('ready', { ...healthy, raft: null })).toBe(true);
    expect(isReached('quorum', { ...healthy, raft: { ...raft, leader: null } })).toBe(false);
  });

  test('direct is for peers that can be, chosen and installed', () => {
    const tunnelled = { ...peer, path: 'vxlan', directPossible: false } as const;
    expect(isReached('direct', { ...healthy, peers: [tunnelled] })).toBe(true);
    expect(isReached('direct', { ...healthy, peers: [{ ...tunnelled, directPossible: true }] })).toBe(false);
    expect(isReached('direct', { ...healthy, peers: [{ ...peer, installed: false }] })).toBe(false);
    expect(isReached('direct', { ...healthy, peers: [], ready: false })).toBe(false);
  });
});
