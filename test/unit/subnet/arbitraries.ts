/** Random commands over a small world: few hosts, few subnets, few tokens, so that they meet each other often. */
import fc from 'fast-check';
import { toReplicaId } from '../../../raft/core/types.ts';
import type { NetworkConfig } from '../../../src/config/network-config.ts';
import { type Cidr, toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { macFromBytes } from '../../../src/net/mac.ts';
import type { AcquireCommand, Command } from '../../../src/subnet/command.ts';
import { type LeaseAttributes, leaseKey, toClusterTime } from '../../../src/subnet/lease.ts';
import type { MemberProfile } from '../../../src/subnet/member.ts';
import type { ClusterState } from '../../../src/subnet/state.ts';
import {
  attributes,
  bootstrapCommand,
  configOf,
  DAY_MS,
  dualAttributes,
  grant,
  node,
  profile,
} from './samples.ts';

const IPV4_CONFIGS: readonly NetworkConfig[] = [
  configOf('{"Network":"10.5.0.0/26","SubnetLen":28}'),
  configOf('{"Network":"10.5.0.0/26","SubnetLen":29,"Backend":{"Type":"vxlan"}}'),
  configOf('{"Network":"10.5.0.0/25","SubnetLen":28,"SubnetMin":"10.5.0.0"}'),
  configOf('{"Network":"10.6.0.0/26","SubnetLen":28,"Backend":{"Type":"alloc"}}'),
];
const dual = (ipv6: string, ipv4: string): NetworkConfig => configOf(`{"EnableIPv6":true,${ipv6},${ipv4}}`);
/** In each of the first two another family is the scarce one. */
const DUAL_CONFIGS: readonly NetworkConfig[] = [
  dual('"IPv6Network":"fd05::/120","IPv6SubnetLen":124', '"Network":"10.5.0.0/26","SubnetLen":28'),
  dual('"IPv6Network":"fd05::/122","IPv6SubnetLen":124', '"Network":"10.5.0.0/24","SubnetLen":28'),
  dual('"IPv6Network":"fd05::/122","IPv6SubnetLen":125', '"Network":"10.5.0.0/26","SubnetLen":28'),
  configOf('{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd05::/122","IPv6SubnetLen":124}'),
];

const host = fc.integer({ min: 1, max: 6 });
const nodeId = host.map(node);
const ipv4Subnet = fc.oneof(
  fc.integer({ min: 0, max: 7 }).map((n) => toCidr(`10.5.0.${16 * n}/28`)),
  fc.integer({ min: 0, max: 7 }).map((n) => toCidr(`10.5.0.${8 * n}/29`)),
  fc.constant(toCidr('10.6.0.16/28')),
);
const ipv6Subnet = fc.oneof(
  fc.integer({ min: 0, max: 7 }).map((n) => toCidr(`fd05::${(16 * n).toString(16)}/124`)),
  fc.integer({ min: 0, max: 7 }).map((n) => toCidr(`fd05::${(8 * n).toString(16)}/125`)),
);
const requestId = fc.integer({ min: 1, max: 200 }).map((n) => `request-${n}`);
/** Null is what most hosts ask for. */
const mostlyNone = (subnet: fc.Arbitrary<Cidr>): fc.Arbitrary<Cidr | null> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: subnet });
const tokenId = fc.constantFrom('t1', 't1', 't1', 't2', 't3');

/** Mostly the host's own profile; sometimes with somebody else's name, address or id. */
const profileArb: fc.Arbitrary<MemberProfile> = fc
  .tuple(
    host,
    fc.option(host, { freq: 8 }),
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom(null, true, false),
  )
  .map(([n, other, field, wantsVoter]) => {
    const own = { ...profile(n), wantsVoter };
    if (other === null) return own;
    const { name, address, nodeId: id } = profile(other);
    return (
      [
        { ...own, name },
        { ...own, address },
        { ...own, nodeId: id },
        { ...own, port: 7 },
      ][field] ?? own
    );
  });

const oddAttributes: fc.Arbitrary<LeaseAttributes> = fc
  .tuple(host, fc.option(fc.uint8Array({ minLength: 6, maxLength: 6 })))
  .map(([n, bytes]) => ({
    ...attributes(n),
    publicIpv6: bytes === null ? null : toIp(`fc00::${n}`),
    backendData: bytes === null ? null : { VNI: n, VtepMAC: macFromBytes(bytes) },
  }));

const grantArb = fc
  .tuple(
    fc.constantFrom('t2', 't3'),
    fc.constantFrom('voter', 'learner'),
    fc.integer({ min: 1, max: 5 * DAY_MS }),
  )
  .map(([id, role, ttlMs]) => grant(id, { role, ttlMs, usesMax: ttlMs % 2 === 0 ? null : 1 }));

const replica = fc.integer({ min: 1, max: 9 }).map(toReplicaId);

/** What hosts may be told to do with leases, in networks that belong together. */
interface World {
  readonly configs: readonly NetworkConfig[];
  readonly subnet: fc.Arbitrary<Cidr>;
  readonly wanted: fc.Arbitrary<Pick<AcquireCommand, 'wanted' | 'wantedIpv6'>>;
  readonly attributes: (n: number) => LeaseAttributes;
}

const IPV4_WORLD: World = {
  configs: IPV4_CONFIGS,
  subnet: ipv4Subnet,
  wanted: mostlyNone(ipv4Subnet).map((wanted) => ({ wanted })),
  attributes,
};

const DUAL_WORLD: World = {
  configs: DUAL_CONFIGS,
  subnet: fc.oneof(ipv4Subnet, ipv6Subnet),
  wanted: fc
    .tuple(mostlyNone(ipv4Subnet), mostlyNone(ipv6Subnet))
    .map(([wanted, wantedIpv6]) => ({ wanted, ...(wantedIpv6 && { wantedIpv6 }) })),
  attributes: dualAttributes,
};

/** Without its time: `stepsOf` lets time pass between them. */
function timelessOf(world: World): fc.Arbitrary<Command> {
  const { subnet } = world;
  const config = fc.constantFrom(...world.configs);
  const hostAttributes = fc.tuple(host, oddAttributes, fc.nat({ max: 7 })).map(([n, any, odd]) => ({
    nodeId: node(n),
    attributes: odd === 0 ? any : world.attributes(n),
  }));
  const time = fc.constant(toClusterTime(0));
  const kind = <const K extends string>(name: K) => fc.constant(name);
  const acquire = fc.tuple(requestId, hostAttributes, world.wanted, fc.array(subnet, { maxLength: 3 })).map(
    ([id, who, wish, previous]): Command => ({
      kind: 'acquire',
      time: toClusterTime(0),
      requestId: id,
      ...who,
      ...wish,
      previous,
    }),
  );
  const join = fc.tuple(requestId, tokenId, profileArb).map(
    ([id, token, who]): Command => ({
      kind: 'join',
      time: toClusterTime(0),
      requestId: id,
      tokenId: token,
      ...who,
    }),
  );
  return fc.oneof(
    { weight: 10, arbitrary: acquire },
    { weight: 4, arbitrary: join },
    { weight: 3, arbitrary: fc.record({ kind: kind('renew'), time, nodeId, subnet }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('release'), time, nodeId, subnet }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('reserve'), time, nodeId, subnet }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('unreserve'), time, subnet }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: kind('mark-absent'), time, subnets: fc.array(subnet, { maxLength: 10 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: kind('set-config'),
        time,
        expectedRevision: fc.integer({ min: 1, max: 3 }),
        config,
        moveLeases: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(time, hostAttributes)
        .map(([t, who]): Command => ({ kind: 'update-attributes', time: t, ...who })),
    },
    {
      weight: 1,
      arbitrary: profileArb.map(
        ({ nodeId: id, name, address, port }): Command => ({
          kind: 'member-update',
          time: toClusterTime(0),
          nodeId: id,
          name,
          address,
          port,
        }),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: kind('member-remove'), time, nodeId, keepsLease: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: kind('member-role'), time, nodeId, wantsVoter: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ kind: kind('rejoin'), time, requestId, nodeId, retired: replica }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('token-create'), time, token: grantArb }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: kind('token-revoke'), time, tokenId: fc.constantFrom('t2', 't3') }),
    },
    { weight: 1, arbitrary: fc.record({ config }).map((change): Command => bootstrapCommand(change)) },
  );
}

const pause = fc.oneof(
  fc.integer({ min: -DAY_MS, max: DAY_MS }),
  fc.constantFrom(0, 0, 0, 2 * DAY_MS, 7 * DAY_MS),
);

/** One command at some time. */
export const command: fc.Arbitrary<Command> = fc
  .tuple(fc.oneof(timelessOf(IPV4_WORLD), timelessOf(DUAL_WORLD)), fc.nat({ max: 30 * DAY_MS }))
  .map(([one, ms]) => ({ ...one, time: toClusterTime(ms) }));

/** A command that may look at the state first, so that renewals and releases often meet a lease that is there. */
export type Step = (state: ClusterState) => Command;

/** A network, and what happens in it. */
export interface Run {
  readonly config: NetworkConfig;
  readonly steps: readonly Step[];
}

/** Now and then a stamp goes back, as a bad leader's would. */
function runOf(world: World): fc.Arbitrary<Run> {
  const steps = fc
    .array(fc.tuple(timelessOf(world), pause, fc.nat({ max: 9 })), { maxLength: 60, size: 'max' })
    .map((all) => {
      let now = 0;
      return all.map(([one, ms, aim]): Step => {
        now = Math.max(0, now + ms);
        const time = toClusterTime(now);
        return (state) => ({ ...aimed(state, one, aim), time });
      });
    });
  return fc.record({ config: fc.constantFrom(...world.configs), steps });
}

/** Of either world. */
export const run: fc.Arbitrary<Run> = fc.oneof(runOf(IPV4_WORLD), runOf(DUAL_WORLD));

/** Seven times of ten the subnet, or the owner, of a lease that exists. */
function aimed(state: ClusterState, one: Command, aim: number): Command {
  const lease = [...state.leases.values()][aim];
  if (lease === undefined || aim >= 7) return one;
  const held = leaseKey(lease);
  const { nodeId: owner } = lease;
  if (one.kind === 'renew' || one.kind === 'release') return { ...one, subnet: held, nodeId: owner };
  if (one.kind === 'rejoin') {
    const retired = state.members.get(owner)?.replicaId;
    return retired === undefined ? one : { ...one, nodeId: owner, retired };
  }
  if (one.kind === 'mark-absent') return { ...one, subnets: [...one.subnets, held] };
  return one;
}
