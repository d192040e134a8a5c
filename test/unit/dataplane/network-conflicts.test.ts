import { expect, test } from 'vitest';
import type { ActualRoute } from '../../../src/dataplane/kernel.ts';
import { networkConflicts } from '../../../src/dataplane/network-conflicts.ts';
import { aliasOf } from '../../../src/dataplane/ownership.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { NODE_ID } from './arbitraries.ts';

const network = toCidr('10.5.0.0/16');

function route(dst: string, iface = 'eth0', protocol = 4): ActualRoute {
  return {
    ...{ table: 254, dst: toCidr(dst), type: 'unicast', via: toIp('10.99.1.1'), iface, onlink: false },
    ...{ src: null, mtu: null, metric: 0, protocol, plain: true },
  };
}

async function check(change: (kernel: FakeKernel) => void) {
  const kernel = new FakeKernel();
  change(kernel);
  return networkConflicts(network, await kernel.read(), await kernel.foreignRoutes(network));
}

function withRoutes(...routes: readonly ActualRoute[]) {
  return check((kernel) => {
    kernel.routes = [...kernel.routes, ...routes];
  });
}

test('a host that uses the network for nothing has no conflict', async () => {
  expect(await withRoutes(route('0.0.0.0/0'), route('10.4.0.0/16'), route('10.6.0.0/16'))).toEqual({
    ...{ conflict: null, warnings: [] },
  });
});

test.each(['10.5.0.0/16', '10.5.7.0/24', '10.5.7.9/32'])('a route to %s is a conflict', async (dst) => {
  expect((await withRoutes(route(dst))).conflict).toMatchObject({
    exitCode: 7,
    text: expect.stringContaining(dst),
  });
});

test('an address in it is a conflict, however wide its own network is', async () => {
  const { conflict } = await check((kernel) => kernel.addAddress('eth0', toIp('10.5.0.9'), 8));
  expect(conflict?.text).toContain('10.5.0.9/8 on eth0');
});

test('a wider route that covers it is a warning, the default route is none', async () => {
  const { conflict, warnings } = await withRoutes(route('0.0.0.0/0'), route('10.0.0.0/8', 'tun0'));
  expect(conflict).toBeNull();
  expect(warnings).toMatchObject([
    { code: 'network-covered', severity: 'warning', text: expect.stringContaining('tun0') },
  ]);
});

test('Docker’s bridges on the lease and what is ours are none', async () => {
  const mac = localMac(Buffer.alloc(6));
  const found = await check((kernel) => {
    kernel.addAddress('docker0', toIp('10.5.1.1'), 24);
    kernel.addAddress('tsfl0', toIp('10.5.3.1'), 24);
    kernel.addAddress('lo', toIp('10.5.1.0'), 32, true);
    const device = {
      name: 'flannel.1',
      vni: 1,
      port: 8472,
      local: null,
      mac,
      mtu: 1450,
      learning: false,
      gbp: false,
    };
    kernel.addVxlan(device, aliasOf(NODE_ID));
    kernel.addAddress('flannel.1', toIp('10.5.1.0'), 32);
    kernel.routes = [
      ...kernel.routes,
      { ...route('10.5.2.0/24', 'eth0', 139), metric: 6473 },
      { ...route('10.5.0.0/16', 'eth0', 139), metric: 4_294_967_295 },
    ];
  });
  expect(found).toEqual({ conflict: null, warnings: [] });
});

test('the device of another flannel is a conflict', async () => {
  const { conflict } = await check((kernel) => kernel.addAddress('flannel.1', toIp('10.5.1.0'), 32));
  expect(conflict?.text).toContain('flannel.1');
});

test('many are one sentence', async () => {
  const routes = Array.from({ length: 50 }, (_, i) => route(`10.5.${i}.0/24`));
  const { conflict } = await withRoutes(...routes);
  expect(conflict?.text).toContain('and 47 more');
  expect(conflict?.text.length).toBeLessThan(250);
});

test('a network of IPv6 is looked at like one of IPv4, and each sees its own family only', async () => {
  const ipv6 = toCidr('fd05::/48');
  const kernel = new FakeKernel();
  kernel.routes = [...kernel.routes, route('10.5.7.0/24'), route('fd05::/32', 'tun0')];
  const found = async () => networkConflicts(ipv6, await kernel.read(), await kernel.foreignRoutes(ipv6));
  expect(await found()).toMatchObject({ conflict: null, warnings: [{ code: 'network-covered' }] });
  kernel.addAddress('eth0', toIp('fd05::9'), 64);
  expect((await found()).conflict?.text).toContain('fd05::9/64 on eth0');
});
