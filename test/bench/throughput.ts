/**
 * One TCP stream between two containers over the paths that two real agents have set up, firewall and all, against the
 * same routes made by hand on two hosts without an agent. In turns, for the machine is noisy.
 */
import { startCluster } from '../lab/cluster.ts';
import { type Container, type Host, type L2, Lab } from '../lab/lab.ts';
import { hasIperf, iperf, serveIperf } from './machine.ts';
import { round, type Summary, summary } from './statistics.ts';

export interface Throughput {
  readonly byAgentGbitPerSecond: Summary | null;
  readonly byHandGbitPerSecond: Summary | null;
  /** Agent's to hand-made, of each pair; the budget is a median of 0.97. */
  readonly ratio: Summary | null;
}

export type PathKind = 'direct' | 'vxlan';

/** Null where iperf3 is not installed. */
export async function measureThroughput(
  kind: PathKind,
  pairs: number,
  seconds: number,
): Promise<Throughput | null> {
  if (!(await hasIperf())) return null;
  await using lab = await Lab.create();
  const l2 = await lab.l2('x');
  const byAgent = await agentPair(lab, l2, kind);
  const byHand = await handPair(lab, l2, kind);
  const agent: number[] = [];
  const hand: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const turns = [
      async () => agent.push(await measure(byAgent, seconds)),
      async () => hand.push(await measure(byHand, seconds)),
    ];
    for (const turn of pair % 2 === 0 ? turns : turns.reverse()) await turn();
  }
  return {
    byAgentGbitPerSecond: summary(agent),
    byHandGbitPerSecond: summary(hand),
    ratio: summary(agent.map((rate, place) => round(rate / (hand[place] ?? 1)))),
  };
}

type Pair = readonly [from: Container, to: Container];

function measure([from, to]: Pair, seconds: number): Promise<number> {
  return iperf(from, to.address, seconds);
}

async function agentPair(lab: Lab, l2: L2, kind: PathKind): Promise<Pair> {
  const hosts = [
    await lab.host('a', { l2, address: '10.99.1.11/24' }),
    await lab.host('b', { l2, address: '10.99.1.12/24' }),
  ];
  const { agents } = await startCluster(hosts, [
    '--iface',
    'eth0',
    '--backend',
    kind === 'direct' ? 'host-gw' : 'vxlan',
  ]);
  const [from, to] = await Promise.all(agents.map((agent) => agent.container(lab)));
  if (from === undefined || to === undefined) throw new Error('two agents have two containers');
  await serveIperf(to);
  return [from, to];
}

async function handPair(lab: Lab, l2: L2, kind: PathKind): Promise<Pair> {
  const mtu = kind === 'vxlan' ? 1450 : 1500;
  const [c, d] = [
    await lab.host('c', { l2, address: '10.99.1.13/24' }),
    await lab.host('d', { l2, address: '10.99.1.14/24' }),
  ];
  const made: Container[] = [];
  for (const [host, number] of [
    [c, 103],
    [d, 104],
  ] as const) {
    await host.sysctl('net.ipv4.ip_forward', 1);
    const [address, gateway] = [`10.5.${number}.2/24`, `10.5.${number}.1/24`];
    made.push(await lab.container(`c${host.name}`, host, { address, gateway, mtu }));
  }
  await route(kind, c, 103, d, 104);
  await route(kind, d, 104, c, 103);
  const [from, to] = made as [Container, Container];
  await serveIperf(to);
  return [from, to];
}

/** As the agent makes it: see docs/architecture.md. */
async function route(kind: PathKind, host: Host, own: number, peer: Host, subnet: number): Promise<void> {
  if (kind === 'direct') {
    await host.ip(`route add 10.5.${subnet}.0/24 via ${peer.address} dev eth0 metric 6473`);
    return;
  }
  const mac = (number: number): string => `02:00:00:00:00:${number.toString(16)}`;
  await host.configure([
    `link add flannel.1 mtu 1450 address ${mac(own)} type vxlan id 1 dstport 8472 local ${host.address} nolearning`,
    `address add 10.5.${own}.0/32 dev flannel.1`,
    'link set flannel.1 up',
    `neighbour add 10.5.${subnet}.0 lladdr ${mac(subnet)} dev flannel.1 nud permanent`,
    `route add 10.5.${subnet}.0/24 via 10.5.${subnet}.0 dev flannel.1 onlink src 10.5.${own}.0 metric 6473`,
  ]);
  await host.run(['bridge', 'fdb', 'add', mac(subnet), 'dev', 'flannel.1', 'dst', peer.address]);
}
