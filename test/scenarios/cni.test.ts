/**
 * Containers of another kind than Docker's: the CNI plugins bridge and host-local, fed from subnet.env as flannel's
 * users feed them. Two hosts on one L2 and one behind a router, so one pair talks directly and two through vxlan.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { fourHosts, startCluster } from '../lab/cluster.ts';
import type { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { connectTcp, listenTcp, ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** Where Debian has them. */
const PLUGINS = '/usr/lib/cni';
const IPERF_PORT = 5201;
/** IPv4 and ICMP headers. */
const HEADERS = 28;

interface Pod {
  readonly agent: Agent;
  readonly namespace: Namespace;
  readonly address: string;
}

async function pod(lab: Lab, agent: Agent): Promise<Pod> {
  const { host } = agent;
  const namespace = await lab.namespace(`pod${host.name}`);
  const variables = agent.subnetEnv() ?? {};
  const configuration = {
    ...{ cniVersion: '0.4.0', name: 'tsflannel', type: 'bridge', bridge: 'cni0', isGateway: true },
    mtu: Number(variables['FLANNEL_MTU']),
    ipMasq: false,
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: agent.subnet }]],
      routes: [{ dst: '0.0.0.0/0' }],
      dataDir: join(host.directory, 'cni'),
    },
  };
  const answer = await host.run([join(PLUGINS, 'bridge')], {
    input: JSON.stringify(configuration),
    env: {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: namespace.netns,
      CNI_NETNS: `/run/netns/${namespace.netns}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: PLUGINS,
    },
  });
  const result: { readonly ips: readonly { readonly address: string }[] } = JSON.parse(answer);
  return { agent, namespace, address: result.ips[0]?.address.replace(/\/.*/, '') ?? '' };
}

/** Mebibytes that arrived in a second between two containers, by the receiver's count; iperf3 chooses the unit. */
async function iperf(from: Pod, to: Pod, options: readonly string[] = []): Promise<number> {
  const server = to.namespace.start(['iperf3', '--server', '--one-off', '--forceflush']);
  await server.line(new RegExp(`listening on ${IPERF_PORT}`));
  await from.namespace.run(['iperf3', '--client', to.address, '--time', '1', ...options]);
  const line = await server.line(/ [KMG]Bytes .* receiver/);
  const [, amount, unit = ''] = /([\d.]+) ([KMG])Bytes/.exec(line) ?? [];
  return Number(amount) * 1024 ** ('KMG'.indexOf(unit) - 1);
}

describe('CNI plugins on three hosts, host-gw and vxlan mixed', () => {
  let a: Pod;
  let b: Pod;
  let d: Pod;
  let pairs: readonly (readonly [from: Pod, to: Pod, mtu: number])[];

  useLab(async (lab) => {
    const hosts = await fourHosts(lab);
    const { agents } = await startCluster([hosts.a, hosts.b, hosts.d]);
    const pods = [];
    for (const agent of agents) pods.push(await pod(lab, agent));
    [a, b, d] = pods as [Pod, Pod, Pod];
    pairs = [
      [a, b, 1500],
      [b, a, 1500],
      [a, d, 1450],
      [d, b, 1450],
    ];
  });

  test('they give the first address of the lease', () => {
    for (const { agent, address } of [a, b, d]) expect(address).toBe(agent.subnet.replace('.0/24', '.2'));
  });

  test('containers reach each other with their own address', async () => {
    for (const { namespace } of [a, b, d]) await listenTcp(namespace, 8080);
    for (const [from, to] of pairs) {
      expect(await ping(from.namespace, to.address)).toMatchObject({ received: 1, ttl: 62 });
      expect(await connectTcp(from.namespace, to.address, 8080)).toBe(from.address);
    }
  });

  test('the direct path carries full packets unfragmented, the tunnel less its overhead', async () => {
    for (const [from, to, mtu] of pairs) {
      const whole = { size: mtu - HEADERS, dontFragment: true };
      expect([to.address, await ping(from.namespace, to.address, whole)]).toMatchObject([
        to.address,
        { received: 1 },
      ]);
      const tooLarge = { size: mtu - HEADERS + 1, dontFragment: true };
      expect(await ping(from.namespace, to.address, tooLarge)).toMatchObject({ received: 0 });
    }
  });

  test('TCP and UDP carry data on both, datagrams larger than any packet too', async () => {
    for (const to of [b, d]) {
      expect(await iperf(a, to)).toBeGreaterThan(1);
      expect(await iperf(a, to, ['--udp', '--bitrate', '50M', '--length', '8000'])).toBeGreaterThan(1);
    }
  });
});
