/**
 * The network of ours in real engines, used as docker compose uses an external network: by name, with an alias for each
 * service. Both families. Hosts a and b on one L2 have it, host d behind a router has its lease on docker0, so host-gw, vxlan, the
 * network and docker0 are mixed. On a the engine comes before the agent, elsewhere after it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Agent, Status } from '../lab/agent.ts';
import { addIpv6, fourHosts, type Hosts, startCluster } from '../lab/cluster.ts';
import type { RunResult } from '../lab/command.ts';
import { eventually } from '../lab/eventually.ts';
import type { Host } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { connectTcp, listenTcp, ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';
import { type DockerContainer, type Engine, startEngine, sweepCgroups } from '../support/docker-engine.ts';

const PORT = 8080;

/** A directory of the test over the /etc of the machine, with a unit of Docker; then a shell line, with arguments. */
const OVERLAY = `
  dir=$1 line=$2; shift 3
  mkdir -p "$dir/upper/systemd/system" "$dir/work"
  printf '[Service]\\nExecStart=/opt/dockerd --tls --mtu=9000\\n' >"$dir/upper/systemd/system/docker.service"
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/upper,workdir=$dir/work" /etc
  eval "$line"`;

interface Applied {
  readonly applied: string;
  readonly changed: boolean;
}

describe('real engines and a network for docker compose', () => {
  let hosts: Hosts;
  let outsider: Host;
  let a: Agent;
  let b: Agent;
  let d: Agent;
  let engineA: Engine;
  let engineB: Engine;
  let engineD: Engine;
  let webA: DockerContainer;
  let webB: DockerContainer;
  let boxD: DockerContainer;

  // The last hook to run, as the first that is made.
  afterAll(sweepCgroups);
  useLab(async (lab) => {
    hosts = await fourHosts(lab);
    outsider = await lab.host('o', { l2: hosts.near, address: '10.99.1.66/24', gateway: '10.99.1.1' });
    const engineOf = ({ netns, directory }: Host, flags: readonly string[] = []): Promise<Engine> =>
      startEngine(netns, directory, flags);
    engineA = await engineOf(hosts.a);
    await addIpv6(hosts);
    const config = join(hosts.a.directory, 'network.json');
    writeFileSync(config, '{"Network": "10.5.0.0/16", "EnableIPv6": true, "IPv6Network": "fd05::/48"}');
    const { agent } = await startCluster([hosts.a, hosts.b, hosts.d], ['--config', config, '--ip-masq']);
    [a, b, d] = [agent('a'), agent('b'), agent('d')];
    const options = (await d.cli(['docker-opts'])).stdout.trim().split(' ');
    [engineB, engineD] = await Promise.all([engineOf(hosts.b), engineOf(hosts.d, options)]);
  });

  const apply = (agent: Agent): Promise<Applied> => agent.json<Applied>(['docker-opts', '--apply']);
  const service = (engine: Engine, name: string): Promise<DockerContainer> =>
    engine.runContainer(`shop-${name}-1`, ['--network', 'tsflannel', '--network-alias', name]);
  const source = (from: Namespace, to: { readonly address: string }): Promise<string | null> =>
    connectTcp(from, to.address, PORT, 10_000);
  const isBlocked = async (from: Namespace, to: { readonly address: string }): Promise<boolean> =>
    (await connectTcp(from, to.address, PORT, 1_000)) === null;
  const problem = (agent: Agent, code: string): Promise<Status['problems'][number]> =>
    eventually(`the problem ${code}`, async () => {
      const { problems } = await agent.status();
      return problems.find((each) => each.code === code);
    });

  async function expectAllTalk(): Promise<void> {
    const boxes = [webA, webB, boxD];
    for (const from of boxes)
      for (const to of boxes.filter((each) => each !== from)) {
        expect([from.address, await source(from.namespace, to)]).toEqual([from.address, from.address]);
        expect([from.ipv6, await source(from.namespace, { address: to.ipv6 })]).toEqual([
          from.ipv6,
          from.ipv6,
        ]);
      }
  }

  test('containers as they come, outside the lease, are reported with what to do', async () => {
    await engineA.docker(['network', 'create', 'shop_default']);
    await engineA.runContainer('plain');
    await engineA.runContainer('shop', ['--network', 'shop_default']);
    expect(await problem(a, 'docker0-outside-lease')).toMatchObject({
      text: expect.stringContaining('plain'),
    });
    const { text, fix } = await problem(a, 'containers-outside-lease');
    expect(text).toMatch(/^1 container runs on Docker networks of their own \(shop_default\).* shop\.$/);
    expect(fix).toContain('docker-opts --apply');
    const { code, stdout } = await a.cli(['status']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('docker-opts --apply')]);
    await engineA.docker(['rm', '--force', 'plain', 'shop']);
    await engineA.docker(['network', 'rm', 'shop_default']);
    await eventually('no problem', async () => ((await a.status()).problems.length === 0 ? true : undefined));
  });

  test('docker-opts --apply makes the network without a restart, once', async () => {
    for (const agent of [a, b]) {
      expect(await apply(agent)).toEqual({ applied: 'network', changed: true });
      expect(await apply(agent)).toEqual({ applied: 'network', changed: false });
      const [address] = (await agent.host.ip('-brief -4 address show tsfl0')).match(/10\.5\S+/) ?? [];
      expect(address).toBe(agent.gateway);
    }
    expect(await apply(d)).toEqual({ applied: 'docker0', changed: false });
  });

  test('services have addresses of the lease, its MTU, and find each other by name', async () => {
    webA = await service(engineA, 'web');
    await service(engineA, 'db');
    webB = await service(engineB, 'web');
    boxD = await engineD.runContainer('box');
    for (const [agent, box] of [
      [a, webA],
      [b, webB],
      [d, boxD],
    ] as const)
      expect(box.address.replace(/\d+$/, '0/24')).toBe(agent.subnet);
    const looked = await engineA.docker(['exec', 'shop-db-1', 'nslookup', 'web']);
    expect(looked).toContain(webA.address);
    expect(await webA.namespace.tryRun(['ip', 'link', 'show', 'eth0'])).toMatchObject({
      stdout: expect.stringContaining(`mtu ${a.subnetEnv()?.['FLANNEL_MTU']} `),
    });
    for (const { namespace } of [webA, webB, boxD]) await listenTcp(namespace, PORT);
  });

  test('every container reaches an unpublished port on every other host, with its own address', async () => {
    await expectAllTalk();
    expect(await ping(webA.namespace, webB.address)).toMatchObject({ received: 1, ttl: 62 });
    for (const { host } of [a, b, d])
      for (const to of [webA, webB, boxD]) expect(await source(host, to)).not.toBe(null);
  });

  test('an outsider reaches none of them', async () => {
    await outsider.configure([a, b].map(({ subnet, host }) => `route replace ${subnet} via ${host.address}`));
    for (const to of [webA, webB]) expect(await isBlocked(outsider, to)).toBe(true);
    await outsider.configure([
      'address add 2001:db8:1::66/64 dev eth0',
      `route replace ${a.subnets[1]} via 2001:db8:1::11`,
    ]);
    expect(await isBlocked(outsider, { address: webA.ipv6 })).toBe(true);
  });

  test('the world outside sees the host, by our rule with --ip-masq and by Docker’s without', async () => {
    const option = '{{index .Options "com.docker.network.bridge.enable_ip_masquerade"}}';
    const masquerades = async ({ docker }: Engine): Promise<string> =>
      (await docker(['network', 'inspect', '--format', option, 'tsflannel'])).trim();
    expect([await masquerades(engineA), await masquerades(engineB)]).toEqual(['false', 'true']);
    await listenTcp(outsider, PORT);
    for (const [agent, box] of [
      [a, webA],
      [b, webB],
      [d, boxD],
    ] as const)
      expect(await source(box.namespace, outsider)).toBe(agent.host.address);
  });

  test('a second network has no part of the lease, and the agent never moves one with containers', async () => {
    const [base = ''] = a.subnet.split('/');
    const { code, stderr } = await a.host.tryRun([
      ...['docker', '-H', engineA.socket, 'network', 'create', '--subnet', `${base}/25`, 'half'],
    ]);
    expect([code, stderr]).toEqual([1, expect.stringContaining('overlaps')]);
    const other = { TSFLANNEL_SUBNET_FILE: `${a.host.directory}/other.env` };
    await a.host.run(['cp', a.subnetFile, other.TSFLANNEL_SUBNET_FILE]);
    await a.host.run(['sed', '-i', 's/^FLANNEL_MTU=.*/FLANNEL_MTU=1400/', other.TSFLANNEL_SUBNET_FILE]);
    expect(await a.refused(['docker-opts', '--apply'], { env: other })).toMatchObject({
      code: 'network-in-use',
      exitCode: 7,
      text: expect.stringContaining('shop-db-1, shop-web-1'),
    });
  });

  test('a host does not leave while containers use its lease, on either bridge', async () => {
    for (const [agent, bridge, count] of [
      [a, 'tsfl0', '2 containers'],
      [d, 'docker0', '1 container'],
    ] as const)
      expect(await agent.refused(['leave'])).toMatchObject({
        code: 'containers-on-lease',
        exitCode: 9,
        text: expect.stringMatching(`^${count} uses? the lease of this host on ${bridge} `),
      });
  });

  test('the drop-in is made from the unit of the machine, and options in daemon.json are in its way', async () => {
    const layer = join(d.host.directory, 'etc');
    const machine = ['unshare', '--mount', 'sh', '-ec', OVERLAY, 'sh', layer];
    const applied = async (prepare: string, words: readonly string[]): Promise<RunResult> => {
      const command = d.commandLine(['docker-opts', ...words, '--json']);
      return d.host.tryRun([...machine, `${prepare} "$@"`, 'sh', ...command], { env: d.env });
    };
    const made = await applied('', ['--format', 'dropin', '--apply']);
    expect([made.code, JSON.parse(made.stdout)]).toEqual([0, { applied: 'dropin', changed: true }]);
    const path = join(layer, 'upper/systemd/system/docker.service.d/tsflannel.conf');
    expect(readFileSync(path, 'utf8')).toContain(`\nEnvironmentFile=-${d.subnetFile}\n`);
    // That of the unit of this test, which is on top of whatever the machine has.
    expect(readFileSync(path, 'utf8')).toMatch(/\nExecStart=\/opt\/dockerd --tls --bip=/);
    for (const words of [['--apply'], ['--format', 'dropin', '--apply']]) {
      const refused = await applied(
        `mkdir -p /etc/docker; echo '{"bip": "10.9.0.1/24"}' >/etc/docker/daemon.json;`,
        words,
      );
      expect([refused.code, JSON.parse(refused.stdout)]).toMatchObject([
        7,
        { error: { code: 'daemon-json' } },
      ]);
    }
  });

  test('after a restart of the engine all is as before, and the agent has seen it', async () => {
    const seen = (): number => b.program.stderr.match(/answers at .*docker\.sock/g)?.length ?? 0;
    const before = seen();
    await engineB.stop();
    await b.host.run(['iptables', '-D', 'FORWARD', '-j', 'DOCKER-USER']);
    engineB = await startEngine(b.host.netns, b.host.directory, []);
    await eventually('the agent sees the engine', () => (seen() > before ? true : undefined));
    expect(await apply(b)).toEqual({ applied: 'network', changed: false });
    webB = await service(engineB, 'web');
    await listenTcp(webB.namespace, PORT);
    await expectAllTalk();
    expect(await isBlocked(outsider, webB)).toBe(true);
    expect((await b.status()).problems).toEqual([]);
  });
});
