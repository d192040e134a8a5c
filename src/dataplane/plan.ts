/**
 * From a delta to operations in the order the kernel needs: device, address, neighbour, FDB, route, rule; then what is extra
 * in reverse. So the new way of a peer stands before its old one goes, and no route is deleted to be added again: the
 * kernel replaces it in one step. Pure.
 */
import type { Delta, DeviceChange } from './delta.ts';
import type { Op } from './kernel.ts';
import { aliasOf } from './ownership.ts';

export function plan(delta: Delta, nodeId: string): readonly Op[] {
  const { addresses, neighbours, fdb, routes, rules } = delta;
  return [
    ...delta.broadcasts.map((broadcast): Op => ({ kind: 'broadcast-delete', broadcast })),
    ...delta.devices.flatMap((change) => deviceOps(change, nodeId)),
    ...addresses.set.map((address): Op => ({ kind: 'address-add', address, marked: address.iface === 'lo' })),
    ...neighbours.set.map((neighbour): Op => ({ kind: 'neighbour-set', neighbour })),
    ...fdb.set.map((entry): Op => ({ kind: 'fdb-set', entry })),
    ...routes.replace.map((route): Op => ({ kind: 'route-replace', route })),
    ...routes.add.map((route): Op => ({ kind: 'route-add', route })),
    ...rules.set.map((rule): Op => ({ kind: 'rule-add', rule })),
    ...rules.extra.map((rule): Op => ({ kind: 'rule-delete', rule })),
    ...routes.extra.map((route): Op => ({ kind: 'route-delete', route })),
    ...fdb.extra.map((entry): Op => ({ kind: 'fdb-delete', entry })),
    ...neighbours.extra.map((neighbour): Op => ({ kind: 'neighbour-delete', neighbour })),
    ...addresses.extra.map((address): Op => ({ kind: 'address-delete', address })),
    ...delta.extraDevices.map((name): Op => ({ kind: 'device-delete', name })),
  ];
}

function deviceOps({ action, device, setMac, replaces }: DeviceChange, nodeId: string): readonly Op[] {
  const alias = aliasOf(nodeId);
  switch (action) {
    case 'create':
      return [
        ...(replaces === null ? [] : [{ kind: 'device-delete', name: replaces } as const]),
        { kind: 'device-create', device, alias },
      ];
    case 'change':
      return [{ kind: 'device-change', device, alias, setMac }];
    case 'recreate':
      return [
        { kind: 'device-delete', name: device.name },
        { kind: 'device-create', device, alias },
      ];
  }
}
