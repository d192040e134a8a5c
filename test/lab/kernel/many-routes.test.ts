import { execFileSync } from 'node:child_process';
import { beforeAll, expect, test } from 'vitest';
import { type DesiredState, NOTHING_DESIRED, type Route } from '../../../src/dataplane/desired-state.ts';
import type { Op } from '../../../src/dataplane/kernel.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { NODE_ID } from '../../support/dual-stack.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import type { Host } from '../lab.ts';
import { useLab } from '../use-lab.ts';

/** Figures to look at, not bounds: the machine is shared. */
const ROUTES = 10_000;
const FOREIGN = 50_000;

let host: Host;
useLab(async (lab) => {
  host = await lab.host('a', { l2: await lab.l2('x'), address: '10.99.1.11/24' });
});

function route(dst: string, is: Partial<Route> = {}): Route {
  return {
    ...{ table: 254, dst: toCidr(dst), type: 'unicast', via: toIp('10.99.1.12'), iface: 'eth0' },
    ...{ onlink: false, src: null, mtu: null, metric: 6473, ...is },
  };
}

const routes = Array.from({ length: ROUTES }, (_, i) => route(`10.${32 + (i >> 8)}.${i & 0xff}.0/24`));
const lastResort = route('10.0.0.0/8', {
  type: 'unreachable',
  via: null,
  iface: null,
  metric: 4_294_967_295,
});

function batch(lines: readonly string[]): void {
  execFileSync('ip', ['-netns', host.netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Of this process since `before`, by itself and in the kernel for it. */
function cpu(before: NodeJS.CpuUsage): string {
  const { user, system } = process.cpuUsage(before);
  return `${(user / 1000).toFixed(0)} ms of CPU and ${(system / 1000).toFixed(0)} ms in the kernel`;
}

async function resyncs(desired: DesiredState, count: number): Promise<readonly string[]> {
  const kernel = inNamespace(host.netns, () => NetlinkKernel.open());
  const figures: string[] = [];
  {
    await using reconciler = new Reconciler({ kernel, nodeId: NODE_ID });
    reconciler.setDesired(desired);
    await reconciler.sync();
    for (let i = 0; i < count; i++) {
      const before = process.cpuUsage();
      await reconciler.sync();
      figures.push(cpu(before));
    }
    const { stats } = reconciler;
    expect(stats).toMatchObject({ installed: stats.desired, repaired: 0, foreign: [], problems: [] });
  }
  kernel.close();
  return figures;
}

beforeAll(() => {
  process.stdout.write(`    ${ROUTES} routes of ours, ${FOREIGN} of others\n`);
});

test('ten thousand routes from nothing, against ip -batch', async () => {
  const ops = routes.map((it): Op => ({ kind: 'route-add', route: it }));
  for (let round = 0; round < 3; round++) {
    let start = performance.now();
    batch(routes.map(({ dst, via }) => `route replace ${dst} via ${via} dev eth0 metric 6473 proto 139`));
    const byIp = performance.now() - start;
    await host.ip('route flush proto 139');
    // A new one each time: none that still reads of what `ip` did.
    const kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    start = performance.now();
    const before = process.cpuUsage();
    expect(await kernel.apply(ops)).toEqual([]);
    const byUs = performance.now() - start;
    const spent = cpu(before);
    expect((await kernel.read()).routes).toHaveLength(ROUTES);
    kernel.close();
    await host.ip('route flush proto 139');
    process.stdout.write(`    ip -batch ${byIp.toFixed(0)} ms, apply ${byUs.toFixed(0)} ms (${spent})\n`);
  }
});

test('one that fails does not hold up the others, and each error is its own', async () => {
  const kernel = inNamespace(host.netns, () => NetlinkKernel.open());
  const ops = routes.map((it, i): Op => {
    return { kind: 'route-add', route: i % 1000 === 7 ? { ...it, via: toIp('192.0.2.9') } : it };
  });
  const failures = await kernel.apply(ops);
  expect(failures.map(({ op }) => ops.indexOf(op))).toEqual(
    Array.from({ length: 10 }, (_, i) => 1000 * i + 7),
  );
  expect(new Set(failures.map(({ code, text }) => `${code}: ${text}`))).toEqual(
    new Set(['ENETUNREACH: Nexthop has invalid gateway']),
  );
  expect((await kernel.read()).routes).toHaveLength(ROUTES - failures.length);
  kernel.close();
  await host.ip('route flush proto 139');
});

test('a resync of ten thousand routes that are right', async () => {
  const figures = await resyncs({ ...NOTHING_DESIRED, routes: [...routes, lastResort] }, 8);
  process.stdout.write(`    resync: ${figures.slice(-3).join('; ')}\n`);
  await host.ip('route flush proto 139');
});

test('a resync among the routes of others does not read them', async () => {
  batch(
    Array.from(
      { length: FOREIGN },
      (_, i) => `route add ${20 + (i >> 16)}.${(i >> 8) & 0xff}.${i & 0xff}.1/32 via 10.99.1.99 proto bgp`,
    ),
  );
  const desired = { ...NOTHING_DESIRED, routes: [...routes.slice(0, 100), lastResort] };
  const figures = await resyncs(desired, 8);
  process.stdout.write(`    resync of 100 among ${FOREIGN}: ${figures.slice(-3).join('; ')}\n`);
});
