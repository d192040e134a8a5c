import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import type { Op } from '../../../src/dataplane/kernel.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import type { Host } from '../lab.ts';
import { useLab } from '../use-lab.ts';

let host: Host;
useLab(async (lab) => {
  host = await lab.host('a', { l2: await lab.l2('x'), address: '10.99.1.11/24' });
});

/** A figure to look at, not a bound: the machine is shared. */
test('ten thousand routes from nothing, against ip -batch', async () => {
  const subnets = Array.from({ length: 10_000 }, (_, i) => `10.${32 + (i >> 8)}.${i & 0xff}.0/24`);
  const ops = subnets.map(
    (dst): Op => ({
      kind: 'route-add',
      route: {
        ...{ table: 254, dst: toCidr(dst), type: 'unicast', via: toIp('10.99.1.12'), iface: 'eth0' },
        ...{ onlink: false, src: null, mtu: null, metric: 6473 },
      },
    }),
  );
  const batch = `${subnets.map((dst) => `route replace ${dst} via 10.99.1.12 dev eth0 metric 6473 proto 139`).join('\n')}\n`;
  const rounds: string[] = [];
  for (let round = 0; round < 3; round++) {
    let start = performance.now();
    execFileSync('ip', ['-netns', host.netns, '-batch', '-'], { input: batch });
    const byIp = performance.now() - start;
    await host.ip('route flush proto 139');
    // A new one each time: none that still reads of what `ip` did.
    const kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    start = performance.now();
    expect(await kernel.apply(ops)).toEqual([]);
    const byUs = performance.now() - start;
    start = performance.now();
    const { routes } = await kernel.read();
    const read = performance.now() - start;
    expect(routes.filter(({ protocol }) => protocol === 139)).toHaveLength(10_000);
    kernel.close();
    await host.ip('route flush proto 139');
    rounds.push(`ip -batch ${byIp.toFixed(0)} ms, apply ${byUs.toFixed(0)} ms, read ${read.toFixed(0)} ms`);
  }
  process.stdout.write(`    10,000 routes: ${rounds.join('; ')}\n`);
});
