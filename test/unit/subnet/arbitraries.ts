/** Random commands over a small world: few hosts, few subnets, few tokens, so that they meet each other often. */
import fc from 'fast-check';
import { toReplicaId } from '../../../raft/core/types.ts';
import type { NetworkConfig } from '../../../src/config/network-config.ts';
import { toCidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { macFromBytes } from '../../../src/net/mac.ts';
import type { Command } from '../../../src/subnet/command.ts';
import { type LeaseAttributes, leaseKey, toClusterTime } from '../../../src/subnet/lease.ts';
import type { MemberProfile } from '../../../src/subnet/member.ts';
import type { ClusterState } from '../../../src/subnet/state.ts';
import { attributes, bootstrapCommand, configOf, DAY_MS, grant, node, profile } from './samples.ts';

export const CONFIGS: readonly NetworkConfig[] = [
  configOf('{"Network":"10.5.0.0/26","SubnetLen":28}'),
  configOf('{"Network":"10.5.0.0/26","SubnetLen":29,"Backend":{"Type":"vxlan"}}'),
  configOf('{"Network":"10.5.0.0/25","SubnetLen":28,"SubnetMin":"10.5.0.0"}'),
  configOf('{"Network":"10.6.0.0/26","SubnetLen":28,"Backend":{"Type":"alloc"}}'),
];

const host = fc.integer({ min: 1, max: 6 });
const nodeId = host.map(node);
const subnet = fc.oneof(
  fc.integer({ min: 0, max: 7 }).map((n) => toCidr(`10.5.0.${16 * n}/28`)),
  fc.integer({ min: 0, max: 7 }).map((n) => toCidr(`10.5.0.${8 * n}/29`)),
  fc.constant(toCidr('10.6.0.16/28')),
);
const requestId = fc.integer({ min: 1, max: 200 }).map((n) => `request-${n}`);
/** Null is what most hosts ask for. */
const wanted = fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: subnet });
const tokenId = fc.constantFrom('t1', 't1', 't1', 't2', 't3');
const config = fc.constantFrom(...CONFIGS);

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

const attributesArb: fc.Arbitrary<LeaseAttributes> = fc
  .tuple(host, fc.option(fc.uint8Array({ minLength: 6, maxLength: 6 })))
  .map(([n, bytes]) => ({
    ...attributes(n),
    publicIpv6: bytes === null ? null : toIp(`fc00::${n}`),
    backendData: bytes === null ? null : { VNI: n, VtepMAC: macFromBytes(bytes) },
  }));

const hostAttributes = fc
  .tuple(host, attributesArb, fc.nat({ max: 7 }))
  .map(([n, any, odd]) => ({ nodeId: node(n), attributes: odd === 0 ? any : attributes(n) }));

const grantArb = fc
  .tuple(
    fc.constantFrom('t2', 't3'),
    fc.constantFrom('voter', 'learner'),
    fc.integer({ min: 1, max: 5 * DAY_MS }),
  )
  .map(([id, role, ttlMs]) => grant(id, { role, ttlMs, usesMax: ttlMs % 2 === 0 ? null : 1 }));

const replica = fc.integer({ min: 1, max: 9 }).map(toReplicaId);

/** Without its time: `steps` lets time pass between them. */
const timeless: fc.Arbitrary<Command> = (() => {
  const time = fc.constant(toClusterTime(0));
  const kind = <const K extends string>(name: K) => fc.constant(name);
  const acquire = fc.tuple(requestId, hostAttributes, wanted, fc.array(subnet, { maxLength: 3 })).map(
    ([id, who, wanted, previous]): Command => ({
      kind: 'acquire',
      time: toClusterTime(0),
      requestId: id,
      ...who,
      wanted,
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
})();

const pause = fc.oneof(
  fc.integer({ min: -DAY_MS, max: DAY_MS }),
  fc.constantFrom(0, 0, 0, 2 * DAY_MS, 7 * DAY_MS),
);

/** One command at some time. */
export const command: fc.Arbitrary<Command> = fc
  .tuple(timeless, fc.nat({ max: 30 * DAY_MS }))
  .map(([one, ms]) => ({ ...one, time: toClusterTime(ms) }));

/** A command that may look at the state first, so that renewals and releases often meet a lease that is there. */
export type Step = (state: ClusterState) => Command;

/** A run of steps; now and then a stamp goes back, as a bad leader's would. */
export const steps: fc.Arbitrary<readonly Step[]> = fc
  .array(fc.tuple(timeless, pause, fc.nat({ max: 9 })), { maxLength: 60, size: 'max' })
  .map((all) => {
    let now = 0;
    return all.map(([one, ms, aim]): Step => {
      now = Math.max(0, now + ms);
      const time = toClusterTime(now);
      return (state) => ({ ...aimed(state, one, aim), time });
    });
  });

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
