/**
 * The day of a user who comes from flannel, etcd and Docker, on hosts like theirs: three, each with two NICs, the
 * default gateway behind the first. Every step is what they type, and what they then look at.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { byName, containers, type Named, routed, voters } from '../lab/cluster.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { connectTcp, listenTcp, ping, traceroute } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

const HOSTS = [120, 121, 122] as const;

async function virtualMachines(lab: Lab): Promise<readonly Host[]> {
  const lan = await lab.l2('lan');
  const hostOnly = await lab.l2('hostonly');
  await lab.router('gw', [{ l2: lan, address: '192.168.19.1/24' }]);
  return Promise.all(
    HOSTS.map((number) =>
      lab.host(`h${number}`, {
        l2: lan,
        address: `192.168.19.${number}/24`,
        iface: 'enp0s3',
        gateway: '192.168.19.1',
        second: { l2: hostOnly, address: `192.168.56.${number}/24`, iface: 'enp0s8' },
      }),
    ),
  );
}

const backends = [
  { type: 'vxlan', mtu: 1450 },
  { type: 'host-gw', mtu: 1500 },
] as const;

describe.each(backends)('the user scenario with $type', ({ type, mtu }) => {
  let lab: Lab;
  let agents: readonly Agent[];
  let agent: Named<Agent>;
  let one: Agent;
  let two: Agent;
  let screen = '';
  let box: Named<Container>;

  useLab(async (made) => {
    lab = made;
    agents = (await virtualMachines(lab)).map((host) => new Agent(host));
    agent = byName(agents.map((made) => [made.host.name, made]));
    one = agent('h121');
    two = agent('h122');
  });

  test('init with the same configuration file, and join on the others with the printed line', async () => {
    const first = agent('h120');
    const config = join(first.host.directory, 'flannel_config.json');
    writeFileSync(config, `{"Network":"10.2.0.0/16","SubnetLen":24,"Backend":{"Type":"${type}"}}`);
    const peers = HOSTS.map((number) => `192.168.19.${number}`).join(',');
    const program = first.start(['init', '--config', config, '--peers', peers, '--iface', 'enp0s3']);
    const line = await program.line(/tsflannel join /);
    const words = line.slice(line.indexOf('join')).trim().split(/\s+/);
    for (const joiner of [one, two]) joiner.start(words);
    for (const member of agents) await member.json(['status', '--wait', 'ready', '--timeout', '60s']);
    screen = `${one.program.stdout}${one.program.stderr}`;
    await routed(agents);
  });

  test('the facts of the start are readable at a glance', () => {
    for (const fact of ['enp0s3', '192.168.19.121', '10.2.0.0/16', type, one.subnet, one.subnetFile])
      expect(screen).toContain(fact);
  });

  test('every host has a /24 between 10.2.1.0 and 10.2.255.0, and they differ', () => {
    const subnets = agents.map(({ subnet }) => subnet);
    expect(new Set(subnets).size).toBe(3);
    for (const subnet of subnets) expect(subnet).toMatch(/^10\.2\.([1-9]\d{0,2})\.0\/24$/);
  });

  test('subnet.env is the same file', () => {
    const expected = [
      'FLANNEL_NETWORK=10.2.0.0/16',
      `FLANNEL_SUBNET=${one.gateway}`,
      `FLANNEL_MTU=${mtu}`,
      'FLANNEL_IPMASQ=false',
    ];
    expect(readFileSync(one.subnetFile, 'utf8')).toBe(`${expected.join('\n')}\n`);
  });

  test('the kernel shows the same device and routes', async () => {
    const routes = await one.host.ip('route show');
    const base = two.subnet.replace('/24', '');
    if (type === 'vxlan') {
      const device = await one.host.ip('address show flannel.1');
      expect(device).toContain('mtu 1450');
      expect(device).toContain(`inet ${one.subnet.replace('/24', '')}/32 `);
      expect(routes).toMatch(new RegExp(`^${two.subnet} via ${base} dev flannel\\.1 .*onlink`, 'm'));
    } else {
      expect(routes).toMatch(new RegExp(`^${two.subnet} via 192\\.168\\.19\\.122 dev enp0s3 `, 'm'));
    }
  });

  test('docker-opts gives the flags that were edited into the unit by hand', async () => {
    const { stdout } = await one.cli(['docker-opts', '--format', 'args']);
    expect(stdout).toBe(`--bip=${one.gateway} --mtu=${mtu} --ip-masq=true\n`);
    const env = await one.cli(['docker-opts', '--format', 'env']);
    expect(env.stdout).toContain(`DOCKER_OPT_BIP="--bip=${one.gateway}"\n`);
    expect(env.stdout).toContain(`DOCKER_OPT_MTU="--mtu=${mtu}"\n`);
    expect(env.stdout).toContain('DOCKER_OPT_IPMASQ="--ip-masq=true"\n');
  });

  test('containers get the first address of their subnet and the default bridge', async () => {
    box = await containers(lab, agents);
    for (const { host, subnet } of agents) expect(box(host.name).address).toBe(subnet.replace('.0/24', '.2'));
    expect(await one.host.ip('route show')).toMatch(new RegExp(`^${one.subnet} dev docker0 `, 'm'));
  });

  test('a container pings one on the other host: ttl 62', async () => {
    expect(await ping(box('h121'), box('h122').address)).toMatchObject({ received: 1, ttl: 62 });
  });

  test('traceroute shows the gateway, the other host and the container', async () => {
    const middle = type === 'vxlan' ? two.subnet.replace('/24', '') : '192.168.19.122';
    const hops = await traceroute(box('h121'), box('h122').address);
    expect(hops).toEqual([one.gateway.replace('/24', ''), middle, box('h122').address]);
  });

  test('in all directions, with the source address of the container', async () => {
    const boxes = agents.map(({ host }) => box(host.name));
    const servers = await Promise.all(boxes.map((each) => listenTcp(each, 8080)));
    for (const from of boxes)
      for (const to of boxes.filter((each) => each !== from)) {
        expect(await ping(from, to.address)).toMatchObject({ received: 1, ttl: 62 });
        expect(await connectTcp(from, to.address, 8080)).toBe(from.address);
      }
    for (const server of servers) await server.stop();
  });

  test('a host reaches the containers of the others', async () => {
    for (const { host } of agents)
      for (const other of agents.filter((each) => each.host !== host))
        expect(await ping(host, box(other.host.name).address)).toMatchObject({ received: 1 });
  });

  test('the three hosts named by --peers are the voters, and all is healthy', async () => {
    await voters(agents, 3);
    const members = await one.members();
    expect(members.map(({ role }) => role)).toEqual(['voter', 'voter', 'voter']);
    const { code } = await one.cli(['status']);
    expect(code).toBe(0);
  });
});
