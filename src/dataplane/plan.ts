/**
 * From a delta to operations in the order the kernel needs: device, address, neighbour, FDB, route; then what is extra
 * in reverse. So the new way of a peer stands before its old one goes, and no route is deleted to be added again: the
 * kernel replaces it in one step. Pure.
 */
import type { Delta } from './delta.ts';
import type { Op } from './kernel.ts';
import { aliasOf, LOOPBACK_LABEL } from './ownership.ts';

export function plan(delta: Delta, nodeId: string): readonly Op[] {
  const { addresses, neighbours, fdb, routes } = delta;
  return [
    ...delta.broadcasts.map((broadcast): Op => ({ kind: 'broadcast-delete', broadcast })),
    ...deviceOps(delta, nodeId),
    ...addresses.set.map(
      (address): Op => ({
        kind: 'address-add',
        address,
        label: address.iface === 'lo' ? LOOPBACK_LABEL : null,
      }),
    ),
    ...neighbours.set.map((neighbour): Op => ({ kind: 'neighbour-set', neighbour })),
    ...fdb.set.map((entry): Op => ({ kind: 'fdb-set', entry })),
    ...routes.set.map((route): Op => ({ kind: 'route-set', route })),
    ...routes.extra.map((route): Op => ({ kind: 'route-delete', route })),
    ...fdb.extra.map((entry): Op => ({ kind: 'fdb-delete', entry })),
    ...neighbours.extra.map((neighbour): Op => ({ kind: 'neighbour-delete', neighbour })),
    ...addresses.extra.map((address): Op => ({ kind: 'address-delete', address })),
    ...delta.extraDevices.map((name): Op => ({ kind: 'device-delete', name })),
  ];
}

function deviceOps({ device: change }: Delta, nodeId: string): readonly Op[] {
  if (change === null) return [];
  const { device, setMac } = change;
  const alias = aliasOf(nodeId);
  switch (change.action) {
    case 'create':
      return [{ kind: 'device-create', device, alias }];
    case 'change':
      return [{ kind: 'device-change', device, alias, setMac }];
    case 'recreate':
      return [
        { kind: 'device-delete', name: device.name },
        { kind: 'device-create', device, alias },
      ];
  }
}
