/** Leases of two families: each subnet is found for itself, and what IPv4 alone writes is as it was before IPv6. */
import { describe, expect, it } from 'vitest';
import { toCidr } from '../../../src/net/cidr.ts';
import {
  decodeCommand,
  encodeCommand,
  type SetConfigCommand,
  UnknownCommandError,
} from '../../../src/subnet/command.ts';
import { decodeResult, encodeResult } from '../../../src/subnet/command-result.ts';
import { leaseSide, toClusterTime } from '../../../src/subnet/lease.ts';
import { decodeLeaseCache, encodeLeaseCache } from '../../../src/subnet/lease-cache.ts';
import { view } from '../../../src/subnet/lease-view.ts';
import {
  acquireCommand,
  attributes,
  bootstrapCommand,
  bytesOf,
  cluster,
  configOf,
  DAY_MS,
  dualAttributes,
  node,
  type Replica,
} from './samples.ts';

const at = toClusterTime;
const DUAL = configOf('{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fd05::/48"}');
const IPV6 = configOf('{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd05::/48"}');
/** Three IPv4 subnets, and IPv6 for everybody. */
const SCARCE = configOf(
  '{"EnableIPv6":true,"Network":"10.5.0.0/28","SubnetLen":30,"IPv6Network":"fd05::/48"}',
);

const ask = (n: number, change: Parameters<typeof acquireCommand>[1] = {}) =>
  acquireCommand(n, { attributes: dualAttributes(n), ...change });

function setConfig(text: string, expectedRevision = 1): SetConfigCommand {
  return {
    kind: 'set-config',
    time: at(0),
    expectedRevision,
    config: configOf(text),
    moveLeases: true,
  };
}

describe('in a network of both families', () => {
  it('a lease has a subnet of each, the same one for the same request', () => {
    const replica = cluster(2, { config: DUAL });
    const { lease } = replica.expect('acquired', ask(2));
    expect(lease).toMatchObject({ subnet: '10.5.1.0/24', ipv6Subnet: 'fd05:0:0:1::/64' });
    expect(replica.expect('acquired', ask(2)).lease).toEqual(lease);
    expect([...replica.state.leases.keys()]).toEqual(['10.5.1.0/24']);
    expect(leaseSide(lease, 6)).toEqual({
      family: 6,
      subnet: 'fd05:0:0:1::/64',
      publicIp: '2001:db8::2',
      vxlan: dualAttributes(2).backendV6Data,
    });
  });

  it('hints and wishes count in their own family', () => {
    const replica = cluster(3, { config: DUAL });
    const previous = [toCidr('fd05:0:0:7::/64'), toCidr('10.5.9.0/24')];
    expect(replica.expect('acquired', ask(2, { previous })).lease).toMatchObject({
      subnet: '10.5.9.0/24',
      ipv6Subnet: 'fd05:0:0:7::/64',
    });
    const wantedIpv6 = toCidr('fd05:0:0:7::/64');
    expect(replica.refused(ask(3, { wantedIpv6 }))).toBe('lease-taken');
    expect(replica.refused(ask(3, { wantedIpv6: toCidr('fd05:0:0:7::/65') }))).toBe('subnet-out-of-range');
    const free = { wantedIpv6: toCidr('fd05:0:0:8::/64'), requestId: 'again-and-again' };
    expect(replica.expect('acquired', ask(3, free)).lease).toMatchObject({
      subnet: '10.5.1.0/24',
      ipv6Subnet: 'fd05:0:0:8::/64',
    });
  });

  it('a reservation keeps a subnet of either for its host', () => {
    const replica = cluster(2, { config: DUAL });
    const subnet = toCidr('fd05:0:0:1::/64');
    replica.expect('reserved', { kind: 'reserve', time: at(0), subnet, nodeId: node(1) });
    expect(replica.expect('acquired', ask(2)).lease.ipv6Subnet).toBe('fd05:0:0:2::/64');
    expect(replica.expect('acquired', ask(1)).lease.ipv6Subnet).toBe(subnet);
  });

  it('a host without an address of one family gets no lease', () => {
    const replica = cluster(2, { config: DUAL });
    expect(replica.refused(acquireCommand(2))).toBe('no-address');
    replica.expect('acquired', ask(2, { requestId: 'with-both' }));
    const update = { kind: 'update-attributes', time: at(0), nodeId: node(2) } as const;
    expect(replica.refused({ ...update, attributes: attributes(2) })).toBe('no-address');
    const onlyIpv6 = { ...dualAttributes(2), publicIp: null, interfaceIp: null };
    expect(replica.refused({ ...update, attributes: onlyIpv6 })).toBe('no-address');
  });

  it('no two hosts have one address of either', () => {
    const replica = cluster(3, { config: DUAL });
    replica.expect('acquired', ask(2));
    const { publicIpv6 } = dualAttributes(2);
    expect(replica.refused(ask(3, { attributes: { ...dualAttributes(3), publicIpv6 } }))).toBe(
      'address-taken',
    );
  });

  it('a change of one network moves the subnets of that one only, and the old ones drain', () => {
    const replica = cluster(2, { config: DUAL });
    const { lease } = replica.expect('acquired', ask(2));
    const text = '{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fd06::/48"}';
    expect(replica.refused({ ...setConfig(text), moveLeases: false })).toBe('config-moves-leases');
    replica.expect('config-set', setConfig(text));
    const moved = replica.expect('acquired', ask(2, { requestId: 'moved-host' })).lease;
    expect(moved).toMatchObject({ subnet: lease.subnet, ipv6Subnet: 'fd06:0:0:1::/64' });
    const draining = { ...lease, subnet: null, state: 'draining' };
    expect([...replica.state.leases.values()]).toEqual([moved, draining]);
    const subnet = toCidr('fd05:0:0:1::/64');
    replica.expect('released', { kind: 'release', time: at(1), nodeId: node(2), subnet });
    expect([...replica.state.leases.values()]).toEqual([moved]);
    expect([...replica.state.released.keys()]).toEqual([subnet]);
  });

  it('who has been absent too long loses the lease whole, and nobody else does', () => {
    const replica = cluster(4, { config: SCARCE });
    const lost = replica.expect('acquired', ask(1)).lease;
    for (const n of [2, 3]) replica.expect('acquired', ask(n, { time: at(1) }));
    const time = at(9 * DAY_MS);
    replica.apply({ kind: 'mark-absent', time, subnets: [...replica.state.leases.keys()] });
    const got = replica.expect('acquired', ask(4, { time }));
    expect(got).toMatchObject({ reusedFrom: node(1), lease: { subnet: lost.subnet } });
    expect([...replica.state.leases.values()].map(({ nodeId }) => nodeId).sort()).toEqual(
      [node(2), node(3), node(4)].sort(),
    );
    expect([...replica.state.released.keys()]).toEqual([lost.ipv6Subnet]);
  });
});

describe('in a network of IPv6 alone', () => {
  it('a lease is known by its IPv6 subnet, through all that happens to it', () => {
    const replica = cluster(2, { config: IPV6 });
    const self = { ...dualAttributes(2), publicIp: null, interfaceIp: null };
    const { lease } = replica.expect('acquired', ask(2, { attributes: self }));
    expect(lease).toMatchObject({ subnet: null, ipv6Subnet: 'fd05:0:0:1::/64', attributes: self });
    const subnet = toCidr('fd05:0:0:1::/64');
    replica.expect('renewed', { kind: 'renew', time: at(1), nodeId: node(2), subnet });
    const later = at(2 * DAY_MS);
    expect(
      replica.expect('marked-absent', { kind: 'mark-absent', time: later, subnets: [subnet] }).subnets,
    ).toEqual([subnet]);
    const copy = replica.fromSnapshot();
    expect(copy.state).toEqual(replica.state);
    expect(copy.expect('released', { kind: 'release', time: later, nodeId: node(2), subnet })).toBeDefined();
    expect(view(replica.state, node(1))).toMatchObject({
      own: null,
      peers: [{ subnet: null, ipv6Subnet: subnet }],
      memberIps: ['192.0.2.1', '192.0.2.2', '2001:db8::2'],
    });
    expect(replica.refused(ask(1, { wanted: toCidr('10.5.1.0/24') }))).toBe('subnet-out-of-range');
  });
});

describe('a version', () => {
  const versionIn = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes)).version;
  const cacheOf = (replica: Replica): string =>
    encodeLeaseCache({
      clusterId: 'c1',
      epoch: 1,
      nodeId: node(1),
      snapshot: view(replica.state, node(1)),
    });

  it('says what needs IPv6, and nothing else does', () => {
    expect(versionIn(encodeCommand(bootstrapCommand()))).toBe(1);
    expect(versionIn(encodeCommand(bootstrapCommand({ config: DUAL })))).toBe(2);
    expect(versionIn(encodeCommand(acquireCommand(2)))).toBe(1);
    expect(versionIn(encodeCommand(ask(2)))).toBe(2);
    const ipv4 = cluster(2);
    ipv4.expect('acquired', acquireCommand(2));
    const text = new TextDecoder().decode(bytesOf(ipv4.machine));
    expect(text).toContain('"featureLevel":1');
    expect(text, 'as it was before IPv6').not.toContain('V6Data');
    expect(cacheOf(ipv4)).toContain('"formatVersion":1');
    const dual = cluster(2, { config: DUAL });
    dual.expect('acquired', ask(2));
    expect(new TextDecoder().decode(bytesOf(dual.machine))).toContain('"featureLevel":2');
    expect(cacheOf(dual)).toContain('"formatVersion":2');
    const read = decodeLeaseCache(Buffer.from(cacheOf(dual)));
    expect(read?.snapshot).toEqual(view(dual.state, node(1)));
  });

  it('before IPv6 is read and written to the byte as it was', () => {
    const attributes =
      '{"backendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"},"backendType":"host-gw","interfaceIp":"192.0.2.2","linkMtu":1500,"publicIp":"192.0.2.2","publicIpv6":null}';
    const id = node(2);
    for (const text of [
      `{"attributes":${attributes},"kind":"acquire","nodeId":"${id}","previous":["10.5.9.0/24"],"requestId":"acquire-host-2","time":5,"version":1,"wanted":null}`,
      `{"attributes":${attributes},"kind":"update-attributes","nodeId":"${id}","time":5,"version":1}`,
      `{"kind":"mark-absent","subnets":["10.5.9.0/24"],"time":5,"version":1}`,
    ])
      expect(new TextDecoder().decode(encodeCommand(decodeCommand(Buffer.from(text))))).toBe(text);
    const lease = `{"attributes":${attributes},"expiresAt":86400005,"ipv6Subnet":null,"nodeId":"${id}","state":"active","subnet":"10.5.9.0/24"}`;
    const result = `{"kind":"acquired","lease":${lease},"reusedFrom":null}`;
    expect(new TextDecoder().decode(encodeResult(decodeResult(Buffer.from(result))))).toBe(result);
  });

  it('that does not belong to its command is refused, so that no older replica is made to read it', () => {
    const text = new TextDecoder().decode(encodeCommand(ask(2)));
    const lower = Buffer.from(text.replace('"version":2', '"version":1'));
    expect(() => decodeCommand(lower)).toThrow(UnknownCommandError);
    const plain = new TextDecoder().decode(encodeCommand(acquireCommand(2)));
    const higher = Buffer.from(plain.replace('"version":1', '"version":2'));
    expect(() => decodeCommand(higher)).toThrow(UnknownCommandError);
  });

  it('of a cluster is that of the network it was founded with', () => {
    const replica = cluster(1);
    expect(replica.refused({ ...setConfig('{"Network":"10.5.0.0/16"}'), config: DUAL })).toBe(
      'feature-level',
    );
  });
});
