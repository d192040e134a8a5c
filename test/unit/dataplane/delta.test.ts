import { describe, expect, test } from 'vitest';
import { type Delta, delta } from '../../../src/dataplane/delta.ts';
import type { DesiredState, Route, VxlanDevice } from '../../../src/dataplane/desired-state.ts';
import type { ActualRoute } from '../../../src/dataplane/kernel.ts';
import { aliasOf } from '../../../src/dataplane/ownership.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { NODE_ID } from './arbitraries.ts';

const device: VxlanDevice = {
  ...{ name: 'flannel.1', vni: 1, port: 8472, local: toIp('10.99.1.11'), mtu: 1450 },
  ...{ mac: localMac(Buffer.from(NODE_ID, 'hex')), learning: false, gbp: false },
};
const route: Route = {
  ...{ table: 254, dst: toCidr('10.5.2.0/24'), type: 'unicast', via: toIp('10.99.1.12'), iface: 'eth0' },
  ...{ onlink: false, src: null, mtu: null, metric: 6473 },
};
const tunnelRoute: Route = {
  ...route,
  ...{ dst: toCidr('10.5.3.0/24'), via: toIp('10.5.3.0'), iface: 'flannel.1', onlink: true },
};
const desired: DesiredState = {
  devices: [device],
  rules: [],
  addresses: [{ iface: 'flannel.1', address: toCidr('10.5.1.0/32') }],
  neighbours: [{ iface: 'flannel.1', ip: toIp('10.5.3.0'), mac: localMac(Uint8Array.of(2, 0, 0, 0, 0, 3)) }],
  fdb: [{ iface: 'flannel.1', mac: localMac(Uint8Array.of(2, 0, 0, 0, 0, 3)), dst: toIp('10.98.0.3') }],
  routes: [route, tunnelRoute],
};
const foreign: ActualRoute = { ...route, via: toIp('10.99.1.99'), protocol: 4, plain: true };

async function compare(kernel: FakeKernel, wanted: DesiredState = desired): Promise<Delta> {
  return delta(wanted, await kernel.read(), NODE_ID);
}

describe('a device', () => {
  test('that is not there is made', async () => {
    expect((await compare(new FakeKernel())).devices[0]).toMatchObject({ action: 'create', device });
  });

  test.each([
    { what: 'local', is: { local: toIp('10.99.1.7') } },
    { what: 'MTU', is: { mtu: 1400 } },
    { what: 'learning', is: { learning: true } },
    { what: 'MAC', is: { mac: localMac(Buffer.alloc(6)) } },
  ])('with another $what is changed in place, and keeps what is on it', async ({ is }) => {
    const kernel = new FakeKernel();
    kernel.addVxlan({ ...device, ...is }, aliasOf(NODE_ID));
    kernel.addAddress('flannel.1', toIp('10.5.1.0'), 32);
    const found = await compare(kernel);
    expect(found.devices[0]).toMatchObject({ action: 'change', device });
    expect(found.addresses).toEqual({ set: [], extra: [] });
  });

  test('that is down is changed', async () => {
    const kernel = new FakeKernel();
    kernel.addVxlan(device, aliasOf(NODE_ID));
    kernel.setUp('flannel.1', false);
    expect((await compare(kernel)).devices[0]?.action).toBe('change');
  });

  test.each([{ port: 4789 }, { gbp: true }])('of ours with %o is made anew', async (is) => {
    const kernel = new FakeKernel();
    kernel.addVxlan({ ...device, ...is }, aliasOf(NODE_ID));
    kernel.addAddress('flannel.1', toIp('10.5.1.0'), 32);
    const found = await compare(kernel);
    expect(found.devices[0]).toMatchObject({ action: 'recreate', device });
    expect(found.addresses.set).toEqual(desired.addresses);
  });

  test('that an earlier identity of this host left is taken over', async () => {
    const kernel = new FakeKernel();
    kernel.addVxlan(device, aliasOf('f'.repeat(32)));
    expect((await compare(kernel)).devices[0]).toMatchObject({ action: 'change', device });
  });

  test('that was made but not yet marked is taken over, by its MAC', async () => {
    const kernel = new FakeKernel();
    kernel.addVxlan(device, null);
    expect((await compare(kernel)).devices[0]).toMatchObject({ action: 'change', device });
  });

  test('of somebody else with our name is a conflict, and nothing on it is touched', async () => {
    const kernel = new FakeKernel();
    kernel.addVxlan({ ...device, mac: localMac(Buffer.alloc(6)) }, null);
    kernel.addAddress('flannel.1', toIp('10.5.7.0'), 32);
    const found = await compare(kernel);
    expect(found.conflicts).toMatchObject([{ holder: { name: 'flannel.1' } }]);
    expect(found.devices).toEqual([]);
    expect(found.addresses).toEqual({ set: [], extra: [] });
    expect(found.neighbours.set).toEqual([]);
    expect(found.fdb.set).toEqual([]);
    expect(found.routes).toEqual({ add: [route], replace: [], extra: [] });
  });

  test('of somebody else with our VNI and another name is a conflict', async () => {
    const kernel = new FakeKernel();
    kernel.addVxlan({ ...device, name: 'vxlan9' }, null);
    expect((await compare(kernel)).conflicts).toMatchObject([{ holder: { name: 'vxlan9' } }]);
    kernel.removeLink('vxlan9');
    kernel.addVxlan({ ...device, name: 'vxlan9', port: 4789 }, null);
    expect((await compare(kernel)).conflicts).toEqual([]);
  });

  test('of ours with another VNI is extra, of another identity it is left alone', async () => {
    const kernel = new FakeKernel();
    kernel.addVxlan({ ...device, name: 'flannel.2', vni: 2 }, aliasOf(NODE_ID));
    kernel.addVxlan({ ...device, name: 'flannel.3', vni: 3 }, aliasOf('f'.repeat(32)));
    expect((await compare(kernel)).extraDevices).toEqual(['flannel.2']);
  });
});

describe('a route', () => {
  test.each([
    { via: toIp('10.99.1.13') },
    { iface: 'eth1' },
    { src: toIp('10.5.1.0') },
    { mtu: 1400 },
    { onlink: true },
    { type: 'unreachable' as const },
    { plain: false },
  ])('of ours that differs by %o is replaced, not removed', async (is) => {
    const kernel = new FakeKernel();
    kernel.routes = [{ ...route, protocol: 139, plain: true, ...is }];
    expect((await compare(kernel)).routes).toEqual({ add: [tunnelRoute], replace: [route], extra: [] });
  });

  test('of somebody else is none of our business, whatever its metric: the kernel says so when ours is added', async () => {
    const kernel = new FakeKernel();
    kernel.routes = [{ ...foreign, metric: 0 }, foreign];
    expect((await compare(kernel)).routes).toEqual({ add: [route, tunnelRoute], replace: [], extra: [] });
  });

  test('of ours beside the right one, with the same destination and metric, is extra', async () => {
    const kernel = new FakeKernel();
    const right = { ...route, protocol: 139, plain: true };
    const wrong = { ...right, via: toIp('10.99.1.13') };
    kernel.routes = [wrong, right];
    expect((await compare(kernel)).routes.extra).toEqual([wrong]);
  });

  test('with our protocol and somebody else’s metric is not ours', async () => {
    const kernel = new FakeKernel();
    kernel.routes = [{ ...route, dst: toCidr('10.5.9.0/24'), protocol: 139, metric: 100, plain: true }];
    expect((await compare(kernel)).routes.extra).toEqual([]);
  });
});

describe('an address', () => {
  const onLo: DesiredState = {
    ...desired,
    devices: [],
    routes: [],
    neighbours: [],
    fdb: [],
    addresses: [{ iface: 'lo', address: toCidr('10.5.1.0/32') }],
  };

  test('that is there is kept, whoever made it, and never extra without our label', async () => {
    const kernel = new FakeKernel();
    kernel.addAddress('lo', toIp('10.5.1.0'), 32);
    kernel.addAddress('lo', toIp('10.5.8.0'), 32);
    expect((await compare(kernel, onLo)).addresses).toEqual({ set: [], extra: [] });
  });

  test('of ours on lo is extra once another is desired', async () => {
    const kernel = new FakeKernel();
    kernel.addAddress('lo', toIp('10.5.8.0'), 32, true);
    const { set, extra } = (await compare(kernel, onLo)).addresses;
    expect(set).toEqual(onLo.addresses);
    expect(extra).toMatchObject([{ ip: '10.5.8.0' }]);
  });

  test('that an old kernel holds as broadcast is freed', async () => {
    const kernel = new FakeKernel();
    kernel.broadcasts = [
      { ip: toIp('10.5.1.0'), iface: 'docker0' },
      { ip: toIp('10.5.1.255'), iface: 'docker0' },
    ];
    expect((await compare(kernel, onLo)).broadcasts).toEqual([{ ip: '10.5.1.0', iface: 'docker0' }]);
  });
});
