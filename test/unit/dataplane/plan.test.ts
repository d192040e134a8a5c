import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Delta, delta } from '../../../src/dataplane/delta.ts';
import { type DesiredState, NOTHING_DESIRED } from '../../../src/dataplane/desired-state.ts';
import type { ActualState, Op } from '../../../src/dataplane/kernel.ts';
import { aliasOf, isOurRoute } from '../../../src/dataplane/ownership.ts';
import { plan } from '../../../src/dataplane/plan.ts';
import { toIp } from '../../../src/net/ip.ts';
import { localMac } from '../../../src/net/mac.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { desiredState, foreignRoutes, NODE_ID } from './arbitraries.ts';

async function difference(desired: DesiredState, kernel: FakeKernel): Promise<Delta> {
  return delta(desired, await kernel.read(), NODE_ID);
}

async function ops(desired: DesiredState, kernel: FakeKernel): Promise<readonly Op[]> {
  return plan(await difference(desired, kernel), NODE_ID);
}

/** One pass; every operation must succeed. */
async function pass(desired: DesiredState, kernel: FakeKernel): Promise<void> {
  expect(await kernel.apply(await ops(desired, kernel))).toEqual([]);
}

/** What happened to the kernel since we programmed it. */
const damage = fc.record({
  lost: fc.array(fc.nat()),
  deviceDown: fc.boolean(),
  deviceGone: fc.boolean(),
  strangeMac: fc.boolean(),
});
type Damage = typeof damage extends fc.Arbitrary<infer D> ? D : never;
const NO_DAMAGE: Damage = { lost: [], deviceDown: false, deviceGone: false, strangeMac: false };

async function damaged(
  old: DesiredState,
  { lost, deviceDown, deviceGone, strangeMac }: Damage,
  foreign: ActualState['routes'],
): Promise<FakeKernel> {
  const kernel = new FakeKernel();
  kernel.addAddress('eth0', toIp('10.99.1.12'), 32);
  kernel.addAddress('lo', toIp('192.0.2.1'), 32);
  kernel.addVxlan(
    {
      ...{ name: 'vxlan7', vni: 7, port: 4789, mac: localMac(Buffer.alloc(6)) },
      mtu: 1450,
      local: null,
      learning: true,
      gbp: false,
    },
    null,
  );
  await pass(old, kernel);
  const keep = (_: unknown, index: number): boolean => !lost.includes(index);
  if (deviceDown) kernel.setUp('flannel.1', false);
  if (deviceGone) kernel.removeLink('flannel.1');
  if (strangeMac)
    kernel.links = kernel.links.map((link) =>
      link.name === 'flannel.1' ? { ...link, mac: OTHER_MAC } : link,
    );
  kernel.routes = [
    ...kernel.routes.filter((route, index) => !isOurRoute(route) || keep(route, index)),
    ...foreign,
  ];
  kernel.neighbours = kernel.neighbours.filter(keep);
  kernel.fdb = kernel.fdb.filter(keep);
  return kernel;
}

/** Everything that is not ours, in a form that can be compared. */
function foreignPart(kernel: FakeKernel): unknown {
  return {
    links: kernel.links.filter(({ alias }) => alias !== aliasOf(NODE_ID)),
    routes: kernel.routes.filter((route) => !isOurRoute(route)),
    addresses: kernel.addresses.filter(
      ({ iface, label }) => iface !== 'flannel.1' && label !== 'lo:tsflannel',
    ),
  };
}

/** The order in which the kernel lists things does not matter. */
function asSets(kernel: FakeKernel): unknown {
  const sorted = (entries: readonly unknown[]): readonly string[] =>
    entries.map((it) => JSON.stringify(it)).sort();
  return [kernel.addresses, kernel.routes, kernel.neighbours, kernel.fdb].map(sorted);
}

const OTHER_MAC = localMac(Uint8Array.of(2, 7, 7, 7, 7, 7));

const scene = fc.record({ old: desiredState, wanted: desiredState, damage, foreign: foreignRoutes });

describe('one pass', () => {
  test('brings any kernel to any desired state, a second one finds nothing to do, and nobody else is touched', async () => {
    await fc.assert(
      fc.asyncProperty(scene, async ({ old, wanted, damage: harm, foreign }) => {
        const kernel = await damaged(old, harm, foreign);
        const before = foreignPart(kernel);
        await pass(wanted, kernel);
        expect(await ops(wanted, kernel)).toEqual([]);
        expect(foreignPart(kernel)).toEqual(before);
      }),
      { numRuns: 500 },
    );
  });

  test('ends the same in whatever order things are listed', async () => {
    await fc.assert(
      fc.asyncProperty(
        scene,
        fc.infiniteStream(fc.nat()),
        async ({ old, wanted, damage: harm, foreign }, random) => {
          const shuffle = <T>(entries: readonly T[]): readonly T[] =>
            entries
              .map((entry) => ({ entry, at: random.next().value }))
              .sort((a, b) => a.at - b.at)
              .map(({ entry }) => entry);
          const one = await damaged(old, harm, foreign);
          const other = await damaged(old, harm, foreign);
          other.routes = shuffle(other.routes);
          other.neighbours = shuffle(other.neighbours);
          other.fdb = shuffle(other.fdb);
          other.addresses = shuffle(other.addresses);
          await pass(wanted, one);
          await pass(
            {
              ...wanted,
              routes: shuffle(wanted.routes),
              neighbours: shuffle(wanted.neighbours),
              fdb: shuffle(wanted.fdb),
            },
            other,
          );
          expect(asSets(other)).toEqual(asSets(one));
        },
      ),
    );
  });

  test('never leaves a destination without a route that has one before and after', async () => {
    await fc.assert(
      fc.asyncProperty(desiredState, desiredState, foreignRoutes, async (old, wanted, foreign) => {
        const kernel = await damaged(old, NO_DAMAGE, foreign);
        const steps = await ops(wanted, kernel);
        // A device that must be made anew takes its routes with it for a moment.
        fc.pre(!steps.some(({ kind }) => kind === 'device-create') || old.devices.length === 0);
        const kept = old.routes.filter(({ dst }) => wanted.routes.some((route) => route.dst === dst));
        for (const step of steps) {
          expect(await kernel.apply([step])).toEqual([]);
          for (const { dst, metric } of kept)
            expect(kernel.routes.some((route) => route.dst === dst && route.metric === metric)).toBe(true);
        }
      }),
    );
  });

  test('removes everything of ours, and only that, when nothing is desired', async () => {
    const nothing: DesiredState = NOTHING_DESIRED;
    await fc.assert(
      fc.asyncProperty(desiredState, foreignRoutes, async (old, foreign) => {
        const kernel = await damaged(nothing, NO_DAMAGE, foreign);
        const before = asSets(kernel);
        await pass(old, kernel);
        await pass(nothing, kernel);
        expect(asSets(kernel)).toEqual(before);
        expect(kernel.link('flannel.1')).toBeUndefined();
      }),
    );
  });
});
