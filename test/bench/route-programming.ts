/**
 * Ten thousand routes: from nothing by our messages, and by a whole pass, against `ip -batch`, in turns, and what a resync costs that finds
 * all of them right.
 */
import { execFileSync } from 'node:child_process';
import { NOTHING_DESIRED, type Route } from '../../src/dataplane/desired-state.ts';
import type { Op } from '../../src/dataplane/kernel.ts';
import { LAST_RESORT_METRIC, MAIN_TABLE, ROUTE_METRIC } from '../../src/dataplane/ownership.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { toCidr } from '../../src/net/cidr.ts';
import { toIp } from '../../src/net/ip.ts';
import { NetlinkKernel } from '../../src/netlink/kernel.ts';
import { type Host, Lab } from '../lab/lab.ts';
import { inNamespace } from '../support/in-namespace.ts';
import { round, type Summary, summary } from './statistics.ts';

const ROUTES = 10_000;
const NEXT_HOP = '10.99.1.12';

export interface RouteProgramming {
  readonly routes: number;
  /** Wall clock, the start of `ip` included. */
  readonly ipBatchMs: Summary | null;
  /** The messages alone, from operations to what the kernel answered. */
  readonly applyMs: Summary | null;
  /** Of the pairs; the budget is half. */
  readonly applyToIpBatch: Summary | null;
  /** A whole pass: read the kernel, compare, plan, apply. */
  readonly fromNothingMs: Summary | null;
  readonly fromNothingToIpBatch: Summary | null;
  /** This process, in user and kernel. */
  readonly resyncCpuMs: Summary | null;
  readonly resyncMs: Summary | null;
}

export async function measureRouteProgramming(rounds: number): Promise<RouteProgramming> {
  await using lab = await Lab.create();
  const host = await lab.host('a', { l2: await lab.l2('x'), address: '10.99.1.11/24' });
  const subnets = Array.from({ length: ROUTES }, (_, i) => `10.${32 + (i >> 8)}.${i & 0xff}.0/24`);
  const ip: number[] = [];
  const apply: number[] = [];
  const fromNothing: number[] = [];
  const resync: number[] = [];
  const resyncCpu: number[] = [];
  // The first one warms up the code.
  for (let count = -1; count < rounds; count++) {
    const byIp = await withIp(host, subnets);
    const applied = await withKernel(host, subnets.map(route));
    const byUs = await withReconciler(host, subnets.map(route));
    if (count < 0) continue;
    ip.push(byIp);
    apply.push(applied);
    fromNothing.push(byUs.fromNothingMs);
    resync.push(byUs.resyncMs);
    resyncCpu.push(byUs.resyncCpuMs);
  }
  return {
    routes: ROUTES,
    ipBatchMs: summary(ip),
    applyMs: summary(apply),
    applyToIpBatch: summary(apply.map((ms, place) => ms / (ip[place] ?? 1))),
    fromNothingMs: summary(fromNothing),
    fromNothingToIpBatch: summary(fromNothing.map((ms, place) => ms / (ip[place] ?? 1))),
    resyncCpuMs: summary(resyncCpu),
    resyncMs: summary(resync),
  };
}

function route(subnet: string): Route {
  return {
    ...{ table: MAIN_TABLE, dst: toCidr(subnet), type: 'unicast', via: toIp(NEXT_HOP), iface: 'eth0' },
    ...{ onlink: false, src: null, mtu: null, metric: ROUTE_METRIC },
  };
}

/** As every desired state has it. */
const NETWORK: Route = {
  ...route('10.0.0.0/8'),
  ...{ type: 'unreachable', via: null, iface: null, metric: LAST_RESORT_METRIC },
};

async function withIp(host: Host, subnets: readonly string[]): Promise<number> {
  const lines = subnets.map((subnet) => `route replace ${subnet} via ${NEXT_HOP} dev eth0 metric 6473`);
  const input = `${lines.join('\n')}\n`;
  const start = performance.now();
  execFileSync('ip', ['-netns', host.netns, '-batch', '-'], { input });
  const ms = performance.now() - start;
  await host.ip('route flush metric 6473');
  return ms;
}

async function withKernel(host: Host, routes: readonly Route[]): Promise<number> {
  await using kernel = inNamespace(host.netns, () => NetlinkKernel.open());
  const start = performance.now();
  const failures = await kernel.apply(routes.map((one): Op => ({ kind: 'route-add', route: one })));
  const ms = performance.now() - start;
  if (failures.length > 0) throw new Error(`${failures.length} routes were refused`);
  await host.ip('route flush proto 139');
  return ms;
}

async function withReconciler(
  host: Host,
  routes: readonly Route[],
): Promise<{ readonly fromNothingMs: number; readonly resyncMs: number; readonly resyncCpuMs: number }> {
  await using kernel = inNamespace(host.netns, () => NetlinkKernel.open());
  await using reconciler = new Reconciler({ kernel, nodeId: '0'.repeat(32) });
  let start = performance.now();
  reconciler.setDesired({ ...NOTHING_DESIRED, routes: [...routes, NETWORK] });
  await reconciler.sync();
  const fromNothingMs = performance.now() - start;
  const { installed, problems } = reconciler.stats;
  if (installed !== routes.length || problems.length > 0) throw new Error(`${installed} routes are there`);
  const cpu = process.cpuUsage();
  start = performance.now();
  await reconciler.sync();
  const resyncMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await host.ip('route flush proto 139');
  return { fromNothingMs, resyncMs, resyncCpuMs: round((user + system) / 1000) };
}
