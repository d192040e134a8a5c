/**
 * The firewall with the engine that is installed, started as the user starts it: two hosts with hand-made routes, their
 * engines with --bip and --mtu, and an outsider on the same L2 that routes to both leases.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firewallOn, labConfig } from '../lab/firewall/lab-firewall.ts';
import type { Host, Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { connectTcp, listenTcp, ping, traceroute } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';
import { type DockerContainer, type Engine, startEngine, sweepCgroups } from '../support/docker-engine.ts';

const MEMBERS = ['10.99.1.11', '10.99.1.12'];
const PORT = 8080;
/** Of the container and of its host. Engines before 28 let anybody route to the first one, too. */
const WEB_PORT = 80;
const PUBLISHED = 18_080;

interface Variant {
  readonly name: string;
  readonly first: 'engine' | 'agent';
  /** dockerd's; true is its default. */
  readonly engineMasq: boolean;
  /** tsflannel's; false is its default. */
  readonly ipMasq: boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: 'engine first, --ip-masq at its defaults', first: 'engine', engineMasq: true, ipMasq: false },
  { name: 'agent first, --ip-masq at its defaults', first: 'agent', engineMasq: true, ipMasq: false },
  { name: 'engine first, masquerade by nobody', first: 'engine', engineMasq: false, ipMasq: false },
  { name: 'agent first, masquerade by us', first: 'agent', engineMasq: false, ipMasq: true },
  { name: 'engine first, masquerade by both', first: 'engine', engineMasq: true, ipMasq: true },
];

interface Side {
  readonly host: Host;
  readonly config: ReturnType<typeof labConfig>;
  readonly flags: readonly string[];
  engine: Engine;
  container: DockerContainer;
}

describe.each(VARIANTS)('$name', ({ first, engineMasq, ipMasq }) => {
  let outsider: Host;
  let a: Side;
  let b: Side;

  // The last hook to run, as the first that is made.
  afterAll(sweepCgroups);
  useLab(async (lab) => {
    const hosts = await makeHosts(lab);
    outsider = hosts.outsider;
    [a, b] = await Promise.all([side(hosts.a, 1), side(hosts.b, 2)]);
  });

  beforeAll(async () => {
    await listenTcp(outsider, PORT);
    for (const { container } of [a, b]) await listen(container);
  });

  async function listen({ namespace }: DockerContainer): Promise<void> {
    for (const port of [PORT, WEB_PORT]) await listenTcp(namespace, port);
  }

  async function side(host: Host, number: number): Promise<Side> {
    const config = labConfig(`10.5.${number}.0/24`, MEMBERS, { ipMasq });
    const flags = [`--bip=10.5.${number}.1/24`, '--mtu=1500', ...(engineMasq ? [] : ['--ip-masq=false'])];
    const agent = (): Promise<boolean> => firewallOn(host).firewall.apply(config);
    if (first === 'agent') await agent();
    const engine = await startEngine(host.netns, host.directory, flags);
    if (first === 'engine') await agent();
    const container = await engine.runContainer('box', ['-p', `${PUBLISHED}:${WEB_PORT}`]);
    return { host, config, flags, engine, container };
  }

  const source = (from: Namespace, to: { readonly address: string }, port = PORT): Promise<string | null> =>
    connectTcp(from, to.address, port, 10_000);
  const isBlocked = async (from: Namespace, to: { readonly address: string }): Promise<boolean> =>
    (await connectTcp(from, to.address, PORT, 1_000)) === null;

  async function expectContainersTalk(): Promise<void> {
    const [ca, cb] = [a.container, b.container];
    expect(await source(ca.namespace, cb)).toBe(ca.address);
    expect(await source(cb.namespace, ca)).toBe(cb.address);
    expect(await source(a.host, cb)).toBe('10.5.1.0');
  }

  test('containers and hosts reach an unpublished port, with their own address', async () => {
    expect([a.container.address, b.container.address]).toEqual(['10.5.1.2', '10.5.2.2']);
    await expectContainersTalk();
    expect(await ping(a.container.namespace, b.container.address)).toMatchObject({ received: 1, ttl: 62 });
  });

  test('the way is container gateway, other host, container', async () => {
    const [gateway, host, ...rest] = await traceroute(a.container.namespace, b.container.address);
    expect([gateway, ...rest]).toEqual(['10.5.1.1', b.container.address]);
    expect([b.host.address, '10.5.2.0']).toContain(host);
  });

  test('an outsider reaches published ports and no other', async () => {
    expect(await isBlocked(outsider, a.container)).toBe(true);
    expect(await source(outsider, a.host, PUBLISHED)).toBe(outsider.address);
    expect(await source(b.container.namespace, a.host, PUBLISHED)).not.toBe(null);
  });

  test('a container reaches itself and its neighbours, also by the published port', async () => {
    const neighbour = await a.engine.runContainer('neighbour');
    expect(await source(neighbour.namespace, a.container)).toBe(neighbour.address);
    expect(await source(neighbour.namespace, a.host, PUBLISHED)).not.toBe(null);
    expect(await source(a.container.namespace, a.host, PUBLISHED)).not.toBe(null);
    await a.engine.docker(['rm', '--force', 'neighbour']);
  });

  test('the world outside sees the host where anybody masquerades, else the container', async () => {
    const seen = engineMasq || ipMasq ? a.host.address : a.container.address;
    expect(await source(a.container.namespace, outsider)).toBe(seen);
  });

  test('a container on a network of its own reaches remote containers through its host', async () => {
    await a.engine.docker(['network', 'create', '--subnet', '172.30.0.0/24', 'other']);
    const other = await a.engine.runContainer('other', ['--network', 'other']);
    expect(await source(other.namespace, b.container)).toBe(a.host.address);
    await a.engine.docker(['rm', '--force', 'other']);
    await a.engine.docker(['network', 'rm', 'other']);
    expect(await firewallOn(a.host).firewall.apply(a.config)).toBe(false);
  });

  test('everything is as before after a restart of the engine, and nothing is ours to repair', async () => {
    await b.engine.stop();
    b.engine = await startEngine(b.host.netns, b.host.directory, b.flags);
    b.container = await b.engine.runContainer('again', ['-p', `${PUBLISHED}:${WEB_PORT}`]);
    await listen(b.container);
    expect(await firewallOn(b.host).firewall.apply(b.config)).toBe(false);
    await expectContainersTalk();
    expect(await isBlocked(outsider, b.container)).toBe(true);
  });

  test('containers talk again after iptables -F and after nft flush ruleset', async () => {
    await a.host.run(['iptables', '-F']);
    expect(await firewallOn(a.host).firewall.apply(a.config)).toBe(true);
    await expectContainersTalk();
    expect(await isBlocked(outsider, a.container)).toBe(true);
    await a.host.run(['nft', 'flush', 'ruleset']);
    expect(await firewallOn(a.host).firewall.apply(a.config)).toBe(true);
    await expectContainersTalk();
    // Docker's own protection is gone until its restart; where the host forwards because of us, ours is not.
    if (first === 'agent') expect(await isBlocked(outsider, a.container)).toBe(true);
  });

  test('without us the engine keeps what is its own', async () => {
    const { firewall } = firewallOn(b.host);
    await firewall.remove();
    const rules = await b.host.run(['iptables-save', '-t', 'filter']);
    expect(rules).not.toContain('TSFLANNEL');
    expect(rules).toContain('-A FORWARD -j DOCKER-USER');
    expect(rules).toContain(':FORWARD DROP');
    expect(await b.host.run(['nft', 'list', 'tables'])).not.toContain('tsflannel');
    expect(await source(outsider, b.host, PUBLISHED)).toBe(outsider.address);
    expect(await isBlocked(a.container.namespace, b.container)).toBe(true);
  });
});

async function makeHosts(lab: Lab): Promise<{ readonly a: Host; readonly b: Host; readonly outsider: Host }> {
  const l2 = await lab.l2('x');
  const a = await lab.host('a', { l2, address: '10.99.1.11/24' });
  const b = await lab.host('b', { l2, address: '10.99.1.12/24' });
  const outsider = await lab.host('o', { l2, address: '10.99.1.99/24' });
  await a.configure(['address add 10.5.1.0/32 dev lo', 'route add 10.5.2.0/24 via 10.99.1.12 src 10.5.1.0']);
  await b.configure(['address add 10.5.2.0/32 dev lo', 'route add 10.5.1.0/24 via 10.99.1.11 src 10.5.2.0']);
  await outsider.configure(['route add 10.5.1.0/24 via 10.99.1.11', 'route add 10.5.2.0/24 via 10.99.1.12']);
  return { a, b, outsider };
}
