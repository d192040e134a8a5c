/** Networks of both families, and of IPv6 alone: the same layout, the same promises. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import {
  addIpv6,
  type Cluster,
  containers,
  fourHosts,
  type Hosts,
  type Named,
  startCluster,
  voters,
} from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { connectTcp, listenTcp, ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

const IPV6 = { EnableIPv6: true, IPv6Network: 'fd05::/48' };

async function configFile(host: Host, config: object): Promise<string> {
  const path = join(host.directory, 'network.json');
  await writeFile(path, JSON.stringify(config));
  return path;
}

/** Every container reaches every other in each family by its own address, over ICMP and TCP. */
async function expectAllReached(agents: readonly Agent[], box: Named<Container>): Promise<void> {
  const boxes = agents.map(({ host }) => box(host.name));
  const servers = await Promise.all(boxes.map((each) => listenTcp(each, 8080)));
  for (const from of boxes)
    for (const to of boxes.filter((each) => each !== from))
      for (const [family, address] of to.addresses.entries()) {
        expect([from.name, address, await ping(from, address)]).toMatchObject([
          from.name,
          address,
          { received: 1, ttl: 62 },
        ]);
        expect(await connectTcp(from, address, 8080)).toBe(from.addresses[family]);
      }
  for (const server of servers) await server.stop();
}

describe('both families on three hosts of one L2 and one behind a router', () => {
  let hosts: Hosts;
  let cluster: Cluster;
  let box: Named<Container>;
  let outsider: Host;
  const agent = (name: string): Agent => cluster.agent(name);
  const ipv6Subnet = (name: string): string => agent(name).subnets[1] ?? '';

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    await addIpv6(hosts);
    const config = await configFile(hosts.a, { ...IPV6, Network: '10.5.0.0/16' });
    cluster = await startCluster([hosts.a, hosts.b, hosts.c, hosts.d], ['--config', config]);
    box = await containers(lab, cluster.agents);
    outsider = await lab.host('outsider', { l2: hosts.near, address: '2001:db8:1::66/64' });
  });

  test('each host has a subnet of each, in subnet.env as flannel writes it', async () => {
    expect(Object.keys(agent('a').subnetEnv() ?? {})).toEqual([
      'FLANNEL_NETWORK',
      'FLANNEL_SUBNET',
      'FLANNEL_IPV6_NETWORK',
      'FLANNEL_IPV6_SUBNET',
      'FLANNEL_MTU',
      'FLANNEL_IPMASQ',
    ]);
    expect(new Set(cluster.agents.map(({ host }) => ipv6Subnet(host.name))).size).toBe(4);
    const { lease, peers, node, health } = await agent('a').status();
    expect([lease?.subnet, lease?.ipv6Subnet]).toEqual(agent('a').subnets);
    expect([health, node.publicIp, node.publicIpv6]).toEqual(['healthy', '10.99.1.11', '2001:db8:1::11']);
    expect(peers.map(({ ipv6Subnet: subnet }) => subnet).sort()).toEqual(
      ['b', 'c', 'd'].map(ipv6Subnet).sort(),
    );
  });

  test('routes are direct on the L2, and lead through a device of their own to the host behind the router', async () => {
    const routes = await hosts.a.ip('-6 route show proto 139');
    expect(routes).toMatch(new RegExp(`^${ipv6Subnet('b')} via 2001:db8:1::12 dev eth0 .*metric 6473`, 'm'));
    expect(routes).toMatch(new RegExp(`^${ipv6Subnet('d')} via fe80::\\S+ dev flannel-v6\\.1 `, 'm'));
    expect(routes).toMatch(/^unreachable fd05::\/48 /m);
    const device = await hosts.a.ip('-details link show dev flannel-v6.1');
    expect(device).toMatch(/mtu 1430 .*vxlan id 1 local6? 2001:db8:1::11 .*dstport 8472 /s);
  });

  test('every container reaches every other in both, and an unknown subnet is unreachable', async () => {
    await expectAllReached(cluster.agents, box);
    expect((await hosts.a.tryRun(['ip', 'route', 'get', 'fd05:0:0:ffff::1'])).code).toBe(2);
  });

  test('an outsider on the L2 is not routed into containers', async () => {
    await outsider.ip(`-6 route add fd05::/48 via 2001:db8:1::11`);
    const server = await listenTcp(box('a'), 8081);
    expect(await connectTcp(outsider, box('a').addresses[1] ?? '', 8081, 1_000)).toBeNull();
    expect(await connectTcp(box('b'), box('a').addresses[1] ?? '', 8081)).toBe(box('b').addresses[1]);
    await server.stop();
  });

  test('no router configures the device of the tunnel', async () => {
    const key = 'net/ipv6/conf/flannel-v6.1/accept_ra';
    await eventually('accept_ra is off', async () =>
      (await hosts.a.sysctl(key)) === '0' ? true : undefined,
    );
  });

  test('full packets pass, less the overhead through the tunnel', async () => {
    const to = (name: string): string => box(name).addresses[1] ?? '';
    const sized = (mtu: number) => ({ size: mtu - 48, dontFragment: true });
    expect(await ping(box('a'), to('b'), sized(1500))).toMatchObject({ received: 1 });
    expect(await ping(box('a'), to('d'), sized(1430))).toMatchObject({ received: 1 });
    expect(await ping(box('a'), to('d'), sized(1431))).toMatchObject({ received: 0 });
  });

  test('a link that was down is back with all that is ours, and says what is the host’s to put back', async () => {
    await hosts.b.configure(['link set eth0 down', 'link set eth0 up']);
    const { problems } = await eventually('the missing address is said', async () => {
      const status = await agent('b').status();
      return status.problems.some(({ code }) => code === 'no-address') ? status : undefined;
    });
    expect(problems.find(({ code }) => code === 'no-address')?.text).toContain('eth0 has no IPv6 address');
    expect(await hosts.b.ip('address show dev flannel-v6.1'), 'stays').toContain(
      ipv6Subnet('b').replace('/64', '/128'),
    );
    await hosts.b.configure([
      'address add 2001:db8:1::12/64 dev eth0',
      'route add default via 10.99.1.1',
      'route add default via 2001:db8:1::1',
    ]);
    for (const [family, address] of box('a').addresses.entries())
      await eventually(`family ${family} is back`, async () =>
        (await ping(box('b'), address)).received === 1 ? true : undefined,
      );
    const { health } = await eventually('it is healthy', async () => {
      const status = await agent('b').status();
      return status.health === 'healthy' ? status : undefined;
    });
    expect(health).toBe('healthy');
  });

  test('routes follow a host to its new address', async () => {
    await hosts.b.configure([
      'address add 2001:db8:1::22/64 dev eth0',
      'address delete 2001:db8:1::12/64 dev eth0',
    ]);
    const route = new RegExp(`^${ipv6Subnet('b')} via 2001:db8:1::22 dev eth0 `, 'm');
    await eventually('the route leads there', async () =>
      route.test(await hosts.a.ip('-6 route show proto 139')) ? true : undefined,
    );
    for (const address of box('a').addresses)
      expect(await ping(box('b'), address)).toMatchObject({ received: 1 });
  });

  test('the device is made again with the same address when somebody deletes it', async () => {
    const mac = (text: string): string | undefined => /link\/ether (\S+)/.exec(text)?.[1];
    const before = await hosts.a.ip('link show dev flannel-v6.1');
    await hosts.a.ip('link delete flannel-v6.1');
    const target = box('d').addresses[1] ?? '';
    await eventually('packets pass again', async () =>
      (await ping(box('a'), target)).received === 1 ? true : undefined,
    );
    expect(mac(await hosts.a.ip('link show dev flannel-v6.1'))).toBe(mac(before));
  });

  test('a host that leaves takes everything of both along', async () => {
    const gone = ipv6Subnet('c');
    await box('c').host.ip('link delete docker0');
    expect((await agent('c').cli(['leave', '--yes'])).code).toBe(0);
    expect(await hosts.c.ip('-6 route show table all proto 139')).toBe('');
    expect(await hosts.c.ip('-6 rule show')).not.toContain('fwmark');
    expect(await hosts.c.ip('-brief link show')).not.toContain('flannel');
    await eventually('the others have no route to it', async () =>
      (await hosts.a.ip('-6 route show proto 139')).includes(gone) ? undefined : true,
    );
  });
});

describe('hosts of IPv6 alone', () => {
  let cluster: Cluster;
  let box: Named<Container>;

  useLab(async (lab: Lab) => {
    const near = await lab.l2('near');
    const far = await lab.l2('far');
    await lab.router('router', [
      { l2: near, address: '2001:db8:1::1/64' },
      { l2: far, address: '2001:db8:2::1/64' },
    ]);
    const nearHost = (name: string, n: number): Promise<Host> =>
      lab.host(name, { l2: near, address: `2001:db8:1::1${n}/64`, gateway: '2001:db8:1::1' });
    const hosts = await Promise.all([
      nearHost('a', 1),
      nearHost('b', 2),
      lab.host('d', { l2: far, address: '2001:db8:2::14/64', gateway: '2001:db8:2::1' }),
    ]);
    const [first] = hosts;
    const config = await configFile(first, { ...IPV6, EnableIPv4: false });
    const peers = hosts.map(({ address }) => `[${address}]`).join(',');
    cluster = await startCluster(hosts, ['--config', config, '--peers', peers]);
    box = await containers(lab, cluster.agents);
  });

  test('become a cluster of voters over IPv6', async () => {
    await voters(cluster.agents, 3);
    expect(cluster.joinCommand).toMatch(/ 2001:db8:1::11$/);
    const members = await cluster.agent('b').members();
    expect(members.map(({ publicIp }) => publicIp)).toEqual([null, null, null]);
  });

  test('give their containers subnets and reach all of them, directly and through the tunnel', async () => {
    expect(Object.keys(cluster.agent('a').subnetEnv() ?? {})).toEqual([
      'FLANNEL_IPV6_NETWORK',
      'FLANNEL_IPV6_SUBNET',
      'FLANNEL_MTU',
      'FLANNEL_IPMASQ',
    ]);
    await expectAllReached(cluster.agents, box);
  });

  test('keep lease and routes when an agent starts again', async () => {
    const agent = cluster.agent('b');
    const before = [agent.subnet, await agent.host.ip('-6 route show proto 139')];
    await agent.stop();
    expect(await ping(box('a'), box('b').address), 'without the agent').toMatchObject({ received: 1 });
    await agent.agent();
    expect([agent.subnet, await agent.host.ip('-6 route show proto 139')]).toEqual(before);
    expect(await ping(box('d'), box('b').address)).toMatchObject({ received: 1 });
  });

  test('are whole again after a link that was down has its address back', async () => {
    const { host } = cluster.agent('b');
    await host.configure(['link set eth0 down', 'link set eth0 up']);
    await eventually('the agent misses it', async () =>
      (await cluster.agent('b').status()).problems.some(({ code }) => code === 'no-interface')
        ? true
        : undefined,
    );
    await host.configure(['address add 2001:db8:1::12/64 dev eth0', 'route add default via 2001:db8:1::1']);
    for (const name of ['a', 'd'])
      await eventually(`${name} is reached again`, async () =>
        (await ping(box('b'), box(name).address)).received === 1 ? true : undefined,
      );
    await eventually('the cluster is heard again', async () =>
      (await cluster.agent('b').status()).raft.leader !== null ? true : undefined,
    );
  });
});
