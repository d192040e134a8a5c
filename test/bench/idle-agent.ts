/**
 * What an agent costs while nothing happens: with the peers of a cluster of three, and with a thousand peers in its
 * state that do not exist, so that every probe goes out and none comes back. The thousand come by the cache that an
 * agent starts from; a lone voter knows nothing newer.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PROBE_MARK_MASK } from '../../src/dataplane/ownership.ts';
import { cidrOf } from '../../src/net/cidr.ts';
import { ipAdd, toIp } from '../../src/net/ip.ts';
import type { Lease } from '../../src/subnet/lease.ts';
import { readLeaseCache, writeLeaseCache } from '../../src/subnet/lease-cache.ts';
import { Agent } from '../lab/agent.ts';
import { startVoters } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import { type Host, Lab } from '../lab/lab.ts';
import { lease } from '../support/leases.ts';
import { processUsage } from './machine.ts';
import { round } from './statistics.ts';

export interface IdleAgent {
  readonly peers: number;
  readonly cpuPercent: number;
  readonly rssMb: number;
  /** Probes sent and answers to those of others, on all paths. */
  readonly probesPerSecond: number;
  readonly probeBytesPerSecond: number;
  /** Everything that left by the interface, the control traffic and ARP too. */
  readonly packetsPerSecond: number;
}

export async function measureIdleAgent(peers: number, settleMs: number, idleMs: number): Promise<IdleAgent> {
  await using lab = await Lab.create();
  const l2 = await lab.l2('x');
  const agent = peers === 2 ? await inClusterOfThree() : await withStrangers(peers);
  await countProbes(agent.host);
  await delay(settleMs);
  const before = await look(agent);
  await delay(idleMs);
  const after = await look(agent);
  const perSecond = (of: keyof Look): number => round((after[of] - before[of]) / (idleMs / 1000));
  return {
    peers,
    cpuPercent: round(perSecond('cpuMs') / 10),
    rssMb: round(after.rssBytes / 1e6),
    probesPerSecond: perSecond('probes'),
    probeBytesPerSecond: perSecond('probeBytes'),
    packetsPerSecond: perSecond('packets'),
  };

  async function inClusterOfThree(): Promise<Agent> {
    const hosts = [];
    for (const number of [1, 2, 3])
      hosts.push(await lab.host(`h${number}`, { l2, address: `10.99.250.${number}/16` }));
    const [first] = (await startVoters(hosts)).agents;
    if (first === undefined) throw new Error('three hosts');
    return first;
  }

  async function withStrangers(count: number): Promise<Agent> {
    const lone = new Agent(await lab.host('h1', { l2, address: '10.99.250.1/16' }));
    await lone.init(['--iface', 'eth0', '--network', '10.128.0.0/9']);
    await lone.stop();
    const path = join(lone.dataDir, 'dataplane.json');
    const cache = await readLeaseCache(path);
    if (cache === undefined) throw new Error(`${path} is missing`);
    const strangers = Array.from({ length: count }, (_, place) => stranger(place, cache.snapshot.own));
    const memberIps = strangers.map(({ attributes }) => attributes.publicIp).filter((ip) => ip !== null);
    const snapshot = {
      ...cache.snapshot,
      index: Number.MAX_SAFE_INTEGER,
      peers: strangers,
      memberIps: [...cache.snapshot.memberIps, ...memberIps],
    };
    await writeLeaseCache(path, { ...cache, snapshot });
    await lone.agent();
    await eventually('routes to all', async () => {
      const routes = await lone.host.ip('route show proto 139');
      return routes.split('\n').length > count ? true : undefined;
    });
    return lone;
  }
}

/** A host that may have been, with a subnet beside those of others. */
function stranger(place: number, own: Lease | null): Lease {
  if (own === null) throw new Error('this host has a lease');
  const number = place + 1_000;
  const base = lease({ number: 1, address: '10.99.1.1' }, { Type: 'alloc' });
  return {
    ...base,
    subnet: cidrOf(ipAdd(toIp('10.200.0.0'), number * 256), 24),
    nodeId: `${number.toString(16).padStart(8, '0').repeat(4)}` as Lease['nodeId'],
    attributes: {
      ...own.attributes,
      publicIp: ipAdd(toIp('10.99.0.0'), number),
      interfaceIp: ipAdd(toIp('10.99.0.0'), number),
    },
  };
}

async function countProbes(host: Host): Promise<void> {
  // The packets that a tunnel puts around them have the mark as well, and what the kernel says of those that got lost.
  const probes = `meta mark & ${PROBE_MARK_MASK} != 0 icmp type { echo-request, echo-reply }`;
  const chain = `type filter hook postrouting priority 300; ${probes} counter`;
  await host.run(['nft', `table inet bench { chain probes { ${chain}; }; }`]);
}

interface Look {
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly probes: number;
  readonly probeBytes: number;
  readonly packets: number;
}

async function look({ program, host }: Agent): Promise<Look> {
  const table = await host.run(['nft', 'list', 'table', 'inet', 'bench']);
  const [, probes, probeBytes] = /packets (\d+) bytes (\d+)/.exec(table) ?? [];
  const [link]: { stats64: { tx: { packets: number } } }[] = JSON.parse(
    await host.ip('-json -statistics link show eth0'),
  );
  return {
    ...processUsage(program.pid),
    probes: Number(probes),
    probeBytes: Number(probeBytes),
    packets: link?.stats64.tx.packets ?? 0,
  };
}
