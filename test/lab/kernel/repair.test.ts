import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { delta } from '../../../src/dataplane/delta.ts';
import { plan } from '../../../src/dataplane/plan.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { dualStack, NODE_ID } from '../../support/dual-stack.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { eventually } from '../eventually.ts';
import type { Namespace } from '../namespace.ts';
import { useLab } from '../use-lab.ts';
import { type Damage, damages, EXTERNAL, FOREIGN_ROUTES } from './damages.ts';

const desired = dualStack({ peers: { 2: 'direct', 3: 'vxlan', 4: 'direct', 5: 'vxlan' } });

const DEADLINE_MS = 20_000;
const ROUNDS = 5;
/** Some damages take two passes, and twenty a second are answered without a pause. */
const PACE_MS = 80;
const FIGHT_MS = 2_000;

describe('a dual stack host that others damage', () => {
  let host: Namespace;
  let kernel: NetlinkKernel;
  /** Somebody else. */
  let other: NetlinkKernel;
  let reconciler: Reconciler;
  let onPass: () => void = () => undefined;

  useLab(async (lab) => {
    host = await lab.namespace('a');
  });

  beforeAll(async () => {
    // No address that comes by itself, a moment later.
    await host.sysctl('net.ipv6.conf.default.addr_gen_mode', 1);
    await host.configure([
      'link set lo up',
      'link add other0 type veth peer name other1',
      'link set other0 up',
      'link set other1 up',
      'link add eth0 type veth peer name peer0',
      ...EXTERNAL,
      ...FOREIGN_ROUTES,
      'link add vxlan7 type vxlan id 7 dstport 4789 local 10.99.1.11',
      'address add 10.5.99.0/32 dev lo',
      'rule add fwmark 0x77 table 77',
      'rule add fwmark 0x10000000/0x30000000 table 77 priority 6473',
      'route add blackhole 10.5.0.0/16 table 77',
    ]);
    kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    other = inNamespace(host.netns, () => NetlinkKernel.open());
    reconciler = new Reconciler({
      kernel,
      nodeId: NODE_ID,
      onPass: () => onPass(),
    });
    reconciler.setDesired(desired);
    await reconciler.sync();
    expect(await difference()).toEqual([]);
  });

  afterAll(async () => {
    await reconciler.close();
    kernel.close();
    other.close();
  });

  async function difference(): Promise<readonly unknown[]> {
    return plan(delta(desired, await other.read(), NODE_ID), NODE_ID);
  }

  /** Resolves after the first pass that leaves nothing to do, in milliseconds since the damage was done or, of a
   *  command, begun. */
  async function damagedAndBack({ ops, commands }: Damage): Promise<number> {
    const { repaired } = reconciler.stats;
    const broken = ops?.(desired, await other.read());
    if (broken !== undefined) expect(await other.apply(broken)).toEqual([]);
    const startedAt = performance.now();
    for (const line of commands ?? []) await host.ip(line);
    await isBack(repaired);
    return performance.now() - startedAt;
  }

  /** Resolves after a pass that put something back and left nothing to do. */
  function isBack(before: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const { repaired, problems } = reconciler.stats;
        reject(new Error(`${repaired - before} things were put back, and then ${JSON.stringify(problems)}`));
      }, DEADLINE_MS);
      onPass = () => {
        if (reconciler.stats.repaired === before) return;
        difference().then((left) => {
          if (left.length > 0) return;
          clearTimeout(timer);
          resolve();
        }, reject);
      };
      onPass();
    });
  }

  const foreign = async (): Promise<string> => {
    const ours = /proto 139 metric (6473|4294967295)|flannel|eth0|peer0|proto 139 .*metric 4294967295/;
    const routes = await host.ip('route show table all');
    const routes6 = await host.ip('-6 route show table all');
    const rules = `${await host.ip('rule show')}${await host.ip('-6 rule show')}`;
    const links = await host.ip('-d link show vxlan7');
    const addresses = await host.ip('address show dev lo');
    const lines = `${routes}${routes6}${rules}`.split('\n').filter((line) => !ours.test(line));
    return [
      ...lines.filter((line) => !line.includes('proto 139') || line.includes('other0')),
      links,
      addresses,
    ]
      .join('\n')
      .replace(/timer +[\d.]+/g, '');
  };

  test.each(damages.map((damage) => [damage.what, damage] as const))(
    '%s: it is put back',
    async (_, damage) => {
      const before = await foreign();
      await damagedAndBack(damage);
      expect(await difference()).toEqual([]);
      expect(reconciler.stats.problems.filter(({ code }) => code !== 'contested')).toEqual([]);
      expect(await foreign()).toBe(before);
    },
  );

  /** Figures to look at, not bounds: the machine is shared. */
  test('more than two hundred damages, one after the other: each is put back', async () => {
    const operations: number[] = [];
    const commands: number[] = [];
    for (let round = 0; round < ROUNDS; round++)
      for (const damage of damages) {
        const ms = await damagedAndBack(damage);
        (damage.ops === undefined ? commands : operations).push(ms);
        await delay(Math.max(0, PACE_MS - ms));
      }
    process.stdout.write(
      `    back after an operation: ${quantiles(operations)}; after commands were started: ${quantiles(commands)}\n`,
    );
    expect(operations.length + commands.length).toBeGreaterThan(200);
    expect(await difference()).toEqual([]);
  });

  test('somebody who removes our routes again and again is answered at a bounded rate, and reported', async () => {
    let passes = 0;
    onPass = () => passes++;
    const startedAt = performance.now();
    const fighter = host.start(['sh', '-c', 'while :; do ip route flush proto 139 metric 6473; done']);
    await eventually('it is reported', () =>
      reconciler.stats.problems.some(({ code }) => code === 'contested') ? true : undefined,
    );
    await delay(FIGHT_MS);
    const seconds = (performance.now() - startedAt) / 1000;
    const during = passes;
    await fighter.stop();
    expect(during).toBeLessThan(60 + 21 * seconds);
    await eventually('it is put back', async () => ((await difference()).length === 0 ? true : undefined));
  });
});

function quantiles(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(1);
  return `${sorted.length} times, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}
