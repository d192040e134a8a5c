/** Desired states that a real host can have, small enough to collide often, and what others put beside them. */
import fc from 'fast-check';
import type { DesiredState, Route } from '../../../src/dataplane/desired-state.ts';
import type { ActualRoute } from '../../../src/dataplane/kernel.ts';
import { LAST_RESORT_METRIC, ROUTE_METRIC } from '../../../src/dataplane/ownership.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';

export const NODE_ID = '0123456789abcdef0123456789abcdef';
const DEVICE = 'flannel.1';

interface Peer {
  readonly id: number;
  readonly direct: boolean;
  /** Its addresses change while its subnet stays. */
  readonly incarnation: number;
  readonly mtu: number | null;
}

const peer: fc.Arbitrary<Peer> = fc.record({
  id: fc.integer({ min: 10, max: 15 }),
  direct: fc.boolean(),
  incarnation: fc.integer({ min: 0, max: 1 }),
  mtu: fc.constantFrom(null, 1300),
});

export const desiredState: fc.Arbitrary<DesiredState> = fc
  .record({
    base: fc.constantFrom('10.5.1.0', '10.5.2.0'),
    vxlan: fc.option(
      fc.record({
        port: fc.constantFrom(8472, 4789),
        gbp: fc.boolean(),
        learning: fc.boolean(),
        mtu: fc.constantFrom(1450, 1350),
        local: fc.constantFrom('10.99.1.11', '10.99.1.12'),
      }),
    ),
    peers: fc.uniqueArray(peer, { selector: ({ id }) => id }),
  })
  .map(({ base, vxlan, peers }) => {
    const src = toIp(base);
    const device =
      vxlan === null
        ? null
        : {
            ...vxlan,
            name: DEVICE,
            vni: 1,
            local: toIp(vxlan.local),
            mac: localMac(Buffer.from(NODE_ID, 'hex')),
          };
    const tunnelled = device === null ? [] : peers.filter(({ direct }) => !direct);
    const macOf = ({ id, incarnation }: Peer) => localMac(Uint8Array.of(2, 0, 0, 0, incarnation, id));
    return {
      devices: device === null ? [] : [device],
      rules: [],
      addresses: [{ iface: device === null ? 'lo' : DEVICE, address: toCidr(`${base}/32`) }],
      neighbours: tunnelled.map((it) => ({ iface: DEVICE, ip: toIp(`10.5.${it.id}.0`), mac: macOf(it) })),
      fdb: tunnelled.map((it) => ({
        iface: DEVICE,
        mac: macOf(it),
        dst: toIp(`10.98.${it.incarnation}.${it.id}`),
      })),
      routes: [
        ...peers.filter(({ direct }) => direct).map((it) => route(it, `10.99.1.${it.id}`, 'eth0', src)),
        ...tunnelled.map((it) => route(it, `10.5.${it.id}.0`, DEVICE, src)),
        {
          ...{ table: 254, dst: toCidr('10.5.0.0/16'), type: 'unreachable', via: null, iface: null },
          ...{ onlink: false, src: null, mtu: null, metric: LAST_RESORT_METRIC },
        } as const,
      ],
    };
  });

function route({ id, mtu }: Peer, via: string, iface: string, src: Route['src']): Route {
  const onlink = iface === DEVICE;
  return {
    ...{ table: 254, dst: toCidr(`10.5.${id}.0/24`), type: 'unicast', via: toIp(via), iface, onlink },
    ...{ src, mtu, metric: ROUTE_METRIC },
  };
}

/** Somebody else's, some of them to the same destinations, never with our metric. */
export const foreignRoutes: fc.Arbitrary<readonly ActualRoute[]> = fc.uniqueArray(
  fc
    .record({
      third: fc.integer({ min: 9, max: 16 }),
      metric: fc.constantFrom(0, 100, 6474),
      protocol: fc.constantFrom(3, 4, 139, 186),
    })
    .map(
      ({ third, metric, protocol }): ActualRoute => ({
        ...{ table: 254, dst: toCidr(`10.5.${third}.0/24`), type: 'unicast', via: toIp('10.99.1.99') },
        iface: 'eth0',
        ...{ onlink: false, src: null, mtu: null, metric, protocol, plain: true },
      }),
    ),
  { selector: ({ dst, metric }) => `${dst} ${metric}` },
);
