/**
 * An agent that is killed at any operation of a change, run on the kernel in memory and on the real one: what it leaves
 * behind the next start completes, and meanwhile no peer that had a route and keeps one is ever without.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { delta } from '../../src/dataplane/delta.ts';
import { type DesiredState, NOTHING_DESIRED, type VxlanDevice } from '../../src/dataplane/desired-state.ts';
import type { ActualRoute, ActualState, Kernel, Op } from '../../src/dataplane/kernel.ts';
import { MAIN_TABLE } from '../../src/dataplane/ownership.ts';
import { plan } from '../../src/dataplane/plan.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { dualStack, NODE_ID } from './dual-stack.ts';

export interface KillableHost {
  readonly kernel: Kernel;
  /** A device as a kill between its two messages leaves it: made, not marked, and down. */
  makeUnmarked(device: VxlanDevice): Promise<void>;
  close(): Promise<void>;
}

const usual = dualStack({ peers: { 2: 'direct', 3: 'vxlan', 4: 'direct', 5: 'vxlan' } });

const changes: readonly (readonly [what: string, from: DesiredState, to: DesiredState])[] = [
  ['a start', NOTHING_DESIRED, usual],
  ['paths that change', usual, dualStack({ peers: { 2: 'vxlan', 3: 'direct', 4: 'direct', 5: 'vxlan' } })],
  [
    'a peer that leaves and one that comes',
    usual,
    dualStack({ peers: { 2: 'direct', 3: 'vxlan', 6: 'direct', 7: 'vxlan' } }),
  ],
  [
    'another address of the host',
    usual,
    dualStack({ peers: { 2: 'direct', 3: 'vxlan', 4: 'direct', 5: 'vxlan' }, self: 77 }),
  ],
  [
    'other addresses of the peers',
    usual,
    dualStack({ peers: { 2: 'direct', 3: 'vxlan', 4: 'direct', 5: 'vxlan' }, offset: 20 }),
  ],
  [
    'another own subnet',
    usual,
    dualStack({ peers: { 2: 'direct', 3: 'vxlan', 4: 'direct', 5: 'vxlan' }, own: 9 }),
  ],
  [
    'a device that must be made anew',
    usual,
    dualStack({ peers: { 2: 'direct', 3: 'vxlan', 4: 'direct', 5: 'vxlan' }, port: 4789 }),
  ],
  ['the end of all tunnels', usual, dualStack({ peers: { 2: 'direct', 4: 'direct' }, tunnels: false })],
  ['a removal of everything', usual, NOTHING_DESIRED],
];

export function killedAnywhere(make: () => Promise<KillableHost>): void {
  let host: KillableHost;

  beforeAll(async () => {
    host = await make();
  });

  afterAll(() => host.close());

  async function opsTo(desired: DesiredState): Promise<readonly Op[]> {
    return plan(delta(desired, await host.kernel.read(), NODE_ID), NODE_ID);
  }

  async function bring(desired: DesiredState): Promise<void> {
    expect(await host.kernel.apply(await opsTo(desired))).toEqual([]);
  }

  /** As a new process does it, each operation looked at. */
  async function start(desired: DesiredState, afterEach: () => Promise<void>): Promise<void> {
    const apply = async (ops: readonly Op[]): ReturnType<Kernel['apply']> => {
      const failures = [];
      for (const op of ops) {
        failures.push(...(await host.kernel.apply([op])));
        await afterEach();
      }
      return failures;
    };
    await using reconciler = new Reconciler({ kernel: observed(host.kernel, apply), nodeId: NODE_ID });
    reconciler.setDesired(desired);
    await reconciler.sync();
    expect(reconciler.stats.problems).toEqual([]);
  }

  test.each(changes)('%s: killed before and after each operation', async (_, from, to) => {
    await bring(NOTHING_DESIRED);
    const empty = await host.kernel.read();
    await bring(to);
    const whole = comparable(await host.kernel.read());
    await bring(NOTHING_DESIRED);
    const kept = keptRoutes(from, to);
    const expectKept = async (): Promise<void> => {
      const { routes } = await host.kernel.read();
      expect(kept.filter((key) => !routes.some((route) => keyOf(route) === key))).toEqual([]);
    };
    const kill = async (killedAt: number, halfway: boolean): Promise<Op | undefined> => {
      await bring(from);
      const ops = await opsTo(to);
      for (const op of ops.slice(0, killedAt)) {
        await host.kernel.apply([op]);
        await expectKept();
      }
      const next = ops[killedAt];
      if (halfway && next?.kind === 'device-create') await host.makeUnmarked(next.device);
      await start(to, expectKept);
      expect(comparable(await host.kernel.read())).toEqual(whole);
      await bring(NOTHING_DESIRED);
      expect(comparable(await host.kernel.read())).toEqual(comparable(empty));
      return next;
    };
    for (let killedAt = 0, next: Op | undefined | null = null; next !== undefined; killedAt++) {
      next = await kill(killedAt, false);
      if (next?.kind === 'device-create') await kill(killedAt, true);
    }
  });
}

/** Those that stand before and after, and need no device that is made anew or goes. */
function keptRoutes(from: DesiredState, to: DesiredState): readonly string[] {
  const lasting = (iface: string | null): boolean => {
    const before = from.devices.find(({ name }) => name === iface);
    const after = to.devices.find(({ name }) => name === iface);
    return before?.port === after?.port;
  };
  return from.routes
    .filter(({ table, iface }) => table === MAIN_TABLE && lasting(iface))
    .map(keyOf)
    .filter((key) => to.routes.some((route) => keyOf(route) === key));
}

function keyOf({ table, dst, metric }: Pick<ActualRoute, 'table' | 'dst' | 'metric'>): string {
  return `${table} ${dst} ${metric}`;
}

/** Without what is another each time, in one order. */
function comparable(state: ActualState): unknown {
  const sorted = (entries: readonly object[]): readonly string[] =>
    entries.map((entry) => JSON.stringify({ ...entry, index: 0 })).sort();
  return Object.fromEntries(Object.entries(state).map(([kind, entries]) => [kind, sorted(entries)]));
}

function observed(kernel: Kernel, apply: Kernel['apply']): Kernel {
  return {
    apply,
    read: () => kernel.read(),
    lookup: (ip) => kernel.lookup(ip),
    match: (ips) => kernel.match(ips),
    neighboursOn: (iface) => kernel.neighboursOn(iface),
    foreignRoutes: (network) => kernel.foreignRoutes(network),
    defaultRoutes: () => kernel.defaultRoutes(),
    concern: (who, networks) => kernel.concern(who, networks),
    onEvent: (listener) => kernel.onEvent(listener),
  };
}
