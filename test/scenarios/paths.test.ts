/** Four hosts, the fourth behind a router: which way packets take, what arrives, and what an outsider gets. */
import { describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { containers, fourHosts, type Hosts, type Named, startCluster } from '../lab/cluster.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { connectTcp, listenTcp, ping, traceroute } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

describe('three hosts on one L2 and one behind a router', () => {
  let hosts: Hosts;
  let agents: readonly Agent[];
  let agent: Named<Agent>;
  let box: Named<Container>;
  let outsider: Host;

  const base = (name: string): string => agent(name).subnet.replace('/24', '');
  const gateway = (name: string): string => agent(name).gateway.replace('/24', '');

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    outsider = await lab.host('outsider', { l2: hosts.near, address: '10.99.1.66/24', gateway: '10.99.1.1' });
    const cluster = await startCluster([hosts.a, hosts.b, hosts.c, hosts.d]);
    ({ agents, agent } = cluster);
    box = await containers(lab, agents);
  });

  test('on one L2 the route is direct, to the host behind the router it is onlink through flannel.1', async () => {
    const routes = await hosts.a.ip('route show proto 139');
    for (const near of ['b', 'c']) {
      const via = agent(near).host.address;
      expect(routes).toMatch(new RegExp(`^${agent(near).subnet} via ${via} dev eth0 .*metric 6473`, 'm'));
    }
    expect(routes).toMatch(
      new RegExp(`^${agent('d').subnet} via ${base('d')} dev flannel\\.1 .*onlink`, 'm'),
    );
  });

  test('an unknown subnet of the network is unreachable and does not leave by the default gateway', async () => {
    const routes = await hosts.a.ip('route show type unreachable');
    expect(routes).toMatch(/^unreachable 10\.5\.0\.0\/16 /m);
    const { code, stderr } = await hosts.a.tryRun(['ip', 'route', 'get', '10.5.255.255']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('No route to host')]);
  });

  test('traceroute on one L2 shows gateway, other host, container', async () => {
    expect(await traceroute(box('a'), box('b').address)).toEqual([
      gateway('a'),
      hosts.b.address,
      box('b').address,
    ]);
  });

  test('traceroute to the host behind the router crosses flannel.1 and no router', async () => {
    expect(await traceroute(box('a'), box('d').address)).toEqual([gateway('a'), base('d'), box('d').address]);
    expect(await traceroute(box('d'), box('b').address)).toEqual([gateway('d'), base('b'), box('b').address]);
  });

  test('every container reaches every other with its own address', async () => {
    const boxes = agents.map(({ host }) => box(host.name));
    const servers = await Promise.all(boxes.map((each) => listenTcp(each, 8080)));
    for (const from of boxes)
      for (const to of boxes.filter((each) => each !== from)) {
        expect(await ping(from, to.address)).toMatchObject({ received: 1, ttl: 62 });
        expect(await connectTcp(from, to.address, 8080)).toBe(from.address);
      }
    for (const server of servers) await server.stop();
  });

  test('every host reaches every container', async () => {
    for (const { host } of agents)
      for (const other of agents) {
        expect([host.name, other.host.name, await ping(host, box(other.host.name).address)]).toMatchObject([
          host.name,
          other.host.name,
          { received: 1 },
        ]);
      }
  });

  test('the full MTU passes on the direct path, less the overhead through vxlan', async () => {
    expect(await ping(box('a'), box('b').address, { size: 1472, dontFragment: true })).toMatchObject({
      received: 1,
    });
    expect(await ping(box('a'), box('d').address, { size: 1422, dontFragment: true })).toMatchObject({
      received: 1,
    });
    expect(await ping(box('a'), box('d').address, { size: 1472, dontFragment: true })).toMatchObject({
      received: 0,
    });
  });

  test('an outsider on the L2 is not routed into containers', async () => {
    await outsider.ip(`route add ${agent('a').subnet} via ${hosts.a.address}`);
    const server = await listenTcp(box('a'), 8081);
    expect(await connectTcp(outsider, box('a').address, 8081, 2_000)).toBe(null);
    expect(await ping(outsider, box('a').address)).toMatchObject({ received: 0 });
    await server.stop();
  });

  test('an outsider cannot inject vxlan frames: the port is open to members only', async () => {
    await outsider.ip(`link add flannel.1 type vxlan id 1 dstport 8472 local ${outsider.address} nolearning`);
    const device = await hosts.a.ip('link show flannel.1');
    const mac = /link\/ether (\S+)/.exec(device)?.[1];
    await outsider.configure([
      'address add 10.5.250.0/32 dev flannel.1',
      'link set flannel.1 up',
      `neighbour add ${base('a')} lladdr ${mac} dev flannel.1 nud permanent`,
      `route add ${base('a')}/32 dev flannel.1 onlink via ${base('a')} src 10.5.250.0`,
    ]);
    await outsider.run(['bridge', 'fdb', 'add', `${mac}`, 'dev', 'flannel.1', 'dst', hosts.a.address]);
    await hosts.a.run(['nft', '-f', '-'], {
      input: `table ip lab {
        chain came { type filter hook prerouting priority -400;
          iifname flannel.1 ip saddr 10.5.250.0 counter comment "outsider"
          iifname flannel.1 ip saddr ${base('d')} counter comment "member"
        }
      }`,
    });
    await ping(outsider, base('a'));
    await ping(hosts.d, base('a'));
    const came = await hosts.a.run(['nft', 'list', 'table', 'ip', 'lab']);
    await hosts.a.run(['nft', 'delete', 'table', 'ip', 'lab']);
    expect(came).toMatch(/counter packets 0 bytes 0 comment "outsider"/);
    // The same from a member arrives: the counter is one that counts.
    expect(came).toMatch(/counter packets [1-9]\d* bytes \d+ comment "member"/);
  });
});
