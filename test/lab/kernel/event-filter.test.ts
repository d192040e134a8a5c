import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KernelEvent } from '../../../src/dataplane/kernel.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { nextEvent } from '../../support/kernel-contract.ts';
import type { Host } from '../lab.ts';
import { useLab } from '../use-lab.ts';

describe('of what others do to routes and neighbours the kernel tells', () => {
  let host: Host;
  let kernel: NetlinkKernel;
  const told: KernelEvent[] = [];

  useLab(async (lab) => {
    host = await lab.host('a', { l2: await lab.l2('x'), address: '10.99.1.11/24' });
  });

  beforeAll(async () => {
    await host.configure([
      'link add flannel.1 type vxlan id 1 dstport 8472 local 10.99.1.11',
      'address add fd00:99:1::11/64 dev eth0 nodad',
      'link set flannel.1 up',
    ]);
    kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    kernel.onEvent((event) => told.push(event));
    await kernel.read();
    kernel.concern('test', [toCidr('10.5.0.0/16'), toCidr('10.98.7.3/32'), toCidr('fd00:5::/48')]);
    kernel.concern('another', [toCidr('192.0.2.128/25')]);
  });

  afterAll(() => kernel.close());

  /** Events come in the order of what happened: after the last one, no other is on its way. */
  async function toldOf(lines: readonly string[]): Promise<readonly string[]> {
    told.length = 0;
    const last = nextEvent(kernel, (event) => event.kind === 'route' && event.protocol === 139);
    await host.configure([
      ...lines,
      'route add 11.1.1.1/32 dev eth0 proto 139',
      'route delete 11.1.1.1/32 proto 139',
    ]);
    await last;
    return told.flatMap((event) => {
      if (event.kind === 'neighbour') return [`neighbour on ${event.iface}`];
      return event.kind === 'route' && event.dst !== '11.1.1.1/32' ? [event.dst] : [];
    });
  }

  beforeEach(() => {
    told.length = 0;
  });

  test.each([
    ['inside', '10.5.7.0/24', true],
    ['the network itself', '10.5.0.0/16', true],
    ['around', '10.0.0.0/8', true],
    ['beside, by one bit', '10.4.0.0/16', false],
    ['beside, wider', '11.0.0.0/8', false],
    ['a host that matters', '10.98.7.3/32', true],
    ['its neighbour', '10.98.7.2/32', false],
    ['around that host', '10.98.7.0/24', true],
    ['beside that host', '10.98.8.0/24', false],
    ['what the other one cares for', '192.0.2.200/32', true],
    ['and what it does not', '192.0.2.100/32', false],
    ['everything', '0.0.0.0/0', true],
    ['inside, IPv6', 'fd00:5:0:7::/64', true],
    ['around, IPv6', 'fd00::/16', true],
    ['beside, IPv6', 'fd00:6::/48', false],
    ['everything, IPv6', '::/0', true],
  ])('a route %s (%s): %s', async (_, dst, expected) => {
    const route = `${dst} dev eth0 metric 77`;
    expect(await toldOf([`route add ${route}`, `route delete ${route}`])).toEqual(expected ? [dst, dst] : []);
  });

  test('nothing of another table, unless it is ours', async () => {
    expect(
      await toldOf([
        'route add 10.5.9.0/24 dev eth0 table 77',
        'route add 10.5.8.0/24 dev eth0 table 77 proto 139',
      ]),
    ).toEqual(['10.5.8.0/24']);
  });

  test('neighbours of tunnels, and no others', async () => {
    const at = (ip: string, dev: string): string =>
      `neigh add ${ip} lladdr 02:00:00:00:00:09 dev ${dev} nud permanent`;
    expect(await toldOf([at('10.99.1.50', 'eth0'), at('10.5.50.0', 'flannel.1')])).toEqual([
      'neighbour on flannel.1',
    ]);
    expect(
      await toldOf(['neigh delete 10.99.1.50 dev eth0', 'neigh delete 10.5.50.0 dev flannel.1']),
    ).toContain('neighbour on flannel.1');
  });

  test('everything again where more matters than a filter holds', async () => {
    const many = Array.from({ length: 500 }, (_, i) => toCidr(`${20 + (i % 100)}.${i % 256}.7.0/24`));
    kernel.concern('many', many);
    const [some = ''] = many.slice(321);
    expect(await toldOf([`route add ${some} dev eth0`])).toEqual([some]);
  });
});
