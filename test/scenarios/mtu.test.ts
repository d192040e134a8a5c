/**
 * Hosts of one L2 whose links take packets of different length, one of them behind a switch port that takes less than its
 * NIC and drops the rest without a word, and one behind a router: whatever containers send, whole, in pieces or with the
 * order not to cut it, arrives or is refused with a word.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { containers, type Named, startCluster } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, L2, Lab } from '../lab/lab.ts';
import { ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** ICMP and IPv4. */
const HEADERS = 28;
const BULK_BYTES = 400_000;
/** A bridge lets some frames pass that are as much longer than its port takes. */
const VLAN_TAG = 4;

/** Of the path from one to the other, by its narrowest place. */
const DIRECT: Readonly<Record<string, number>> = { big: 9000, small: 1500, port: 1400 };
/** Around the tunnel's packets are fifty bytes more. */
const VXLAN: Readonly<Record<string, number>> = { big: 1450, small: 1450, port: 1350 };

describe('jumbo frames on some hosts', () => {
  let near: L2;
  let agents: readonly Agent[];
  let agent: Named<Agent>;
  let box: Named<Container>;
  const found = new Map<string, number>();
  const mtuOf = (from: string, to: string): number => found.get(`${from} ${to}`) ?? 0;

  useLab(async (lab: Lab) => {
    near = await lab.l2('near');
    const far = await lab.l2('far');
    await lab.router('router', [
      { l2: near, address: '10.99.1.1/24' },
      { l2: far, address: '10.99.2.1/24' },
    ]);
    const on = (l2: L2, address: string, mtu: number) => ({
      ...{ l2, address: `${address}/24`, mtu, gateway: address.replace(/\d+$/, '1') },
    });
    const hosts = [
      await lab.host('big', on(near, '10.99.1.11', 9000)),
      await lab.host('small', on(near, '10.99.1.12', 1500)),
      await lab.host('port', on(near, '10.99.1.13', 9000)),
      await lab.host('away', on(far, '10.99.2.14', 1500)),
    ];
    const cluster = await startCluster(hosts);
    ({ agents, agent } = cluster);
    box = await containers(lab, agents);
    // Not before: the agents' own streams would not get through to that host either. It goes on from its disk.
    await near.ip('link set port-eth0 mtu 1396');
    for (const one of agents) {
      await one.stop();
      await one.agent();
    }
  });

  const expected = (a: string, b: string): number => {
    if (a === 'away' || b === 'away') return VXLAN[a === 'away' ? b : a] ?? 0;
    return Math.min(DIRECT[a] ?? 0, DIRECT[b] ?? 0);
  };

  const pairs = (): readonly (readonly [string, string])[] => {
    const names = ['big', 'small', 'port', 'away'];
    return names.flatMap((a) => names.filter((b) => b !== a).map((b) => [a, b] as const));
  };

  beforeAll(async () => {
    for (const [from, to] of pairs()) {
      const mtu = expected(from, to);
      await eventually(
        `the path from ${from} to ${to} carries ${mtu} bytes`,
        async () => {
          const peers = await agent(from).json<readonly { name: string; path: string; mtu: number }[]>([
            'paths',
          ]);
          const path = peers.find(({ name }) => name === to);
          if (path === undefined || path.path === 'unproven') return undefined;
          if (path.mtu > mtu || path.mtu < mtu - VLAN_TAG) throw new Error(JSON.stringify(path));
          found.set(`${from} ${to}`, path.mtu);
          return true;
        },
        60_000,
      );
    }
  });

  test('containers keep the MTU of their host’s link, and routes carry what is less', async () => {
    expect(agents.map((one) => one.subnetEnv()?.['FLANNEL_MTU'])).toEqual(['9000', '1500', '9000', '1500']);
    const routes = await agent('big').host.ip('route show proto 139');
    const carried = ['small', 'port', 'away'].map((name) => {
      const line = routes.split('\n').find((each) => each.startsWith(agent(name).subnet));
      return / mtu (\d+)/.exec(line ?? '')?.[1];
    });
    expect(carried).toEqual(['1500', `${mtuOf('big', 'port')}`, '1450']);
  });

  test('a full packet that must not be cut arrives', async () => {
    for (const [from, to] of pairs()) {
      const size = mtuOf(from, to) - HEADERS;
      const full = await ping(box(from), box(to).address, { size, dontFragment: true });
      expect([from, to, size, full.received]).toEqual([from, to, size, 1]);
    }
  });

  test('a longer one that must not be cut is refused with a word, and the sender knows better', async () => {
    const { stdout } = await box('big').tryRun([
      ...['ping', '-n', '-c', '2', '-i', '0.2', '-W', '2', '-M', 'do', '-s', '5000', box('port').address],
    ]);
    const mtu = mtuOf('big', 'port');
    expect(stdout).toContain(`(mtu = ${mtu})`);
    const cached = await box('big').ip(`route get ${box('port').address}`);
    expect(cached).toContain(`mtu ${mtu}`);
  });

  test('a longer one that may be cut arrives', async () => {
    for (const [from, to] of pairs()) {
      const command = ['ping', '-n', '-c', '1', '-W', '2', '-M', 'dont', '-s', '4000', box(to).address];
      expect([from, to, (await box(from).tryRun(command)).code]).toEqual([from, to, 0]);
    }
  });

  test('TCP carries bulk both ways between all of them', async () => {
    const serve = `require('net').createServer((s) => s.on('error', () => {}).end(Buffer.alloc(${BULK_BYTES})))
      .listen(9090, '0.0.0.0', () => console.log('listening'))`;
    const servers = agents.map(({ host }) => box(host.name).start([process.execPath, '-e', serve]));
    for (const server of servers) await server.line(/^listening$/);
    for (const [from, to] of pairs()) {
      const script = `exec 3<>/dev/tcp/${box(to).address}/9090 && wc -c <&3`;
      const { stdout } = await box(from).tryRun(['timeout', '20', 'bash', '--norc', '-c', script]);
      expect([from, to, Number(stdout)]).toEqual([from, to, BULK_BYTES]);
    }
    for (const server of servers) await server.stop();
  });
});
