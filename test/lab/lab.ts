/**
 * Several hosts on one machine, made from network namespaces.
 *
 *     lab.l2('x')                    lab.router('r', ...)              lab.l2('y')
 *    ┌──────────────── bridge ────────────────┐      ┌──────────── bridge ───────────┐
 *    │  br0, in a namespace of its own        │      │                               │
 *    └───┬───────────────┬────────────────┬───┘      └───┬───────────────────────┬───┘
 *        │ veth          │                │              │                       │
 *     ┌──┴─────────┐  ┌──┴─────────┐   ┌──┴──────────────┴──┐                 ┌──┴─────────┐
 *     │ eth0       │  │ eth0       │   │ eth0   (ip_forward)│                 │ eth0       │
 *     │  host a    │  │  host b    │   │   eth1     router  │                 │  host d    │
 *     │ docker0    │  │ docker0    │   └────────────────────┘                 │ docker0    │
 *     └──┬─────────┘  └──┬─────────┘                                          └──┬─────────┘
 *        │ veth          │                                                       │
 *     ┌──┴─────────┐  ┌──┴─────────┐    a plain container: a namespace        ┌──┴─────────┐
 *     │ container  │  │ container  │    on the bridge docker0 of its host     │ container  │
 *     └────────────┘  └────────────┘                                          └────────────┘
 *
 * A lab owns its namespaces and one directory, all under a prefix that no other lab has, and nothing else: it never
 * adds a link, route or rule to the namespace it was started in. Disposing it, an interrupt, or the next lab after a
 * kill removes exactly what it made.
 */
import { join } from 'node:path';
import { run } from './command.ts';
import { abandonDirectory, openDirectory, recordNamespace, removeDirectory, sweep } from './leftovers.ts';
import { Namespace } from './namespace.ts';

/** The bridges carry any frame; what limits it is the MTU of the two NICs, as on a switch that does jumbo frames. */
const BRIDGE_MTU = 9216;

export interface Leg {
  readonly l2: L2;
  /** With prefix length: `10.99.0.11/24`. */
  readonly address: string;
  /** `eth0`, `eth1`, ... in order unless named. */
  readonly iface?: string;
  readonly mtu?: number;
}

export interface HostOptions extends Leg {
  /** A second NIC, as virtual machines have one. */
  readonly second?: Leg;
  /** Next hop of the default route. */
  readonly gateway?: string;
}

export interface ContainerOptions {
  /** `10.5.7.2/24`. */
  readonly address: string;
  /** Address of the host's bridge: `10.5.7.1/24`. */
  readonly gateway: string;
  /** The same in the other family. */
  readonly second?: { readonly address: string; readonly gateway: string };
  readonly mtu?: number;
  readonly bridge?: string;
}

/** A switch: one bridge in a namespace of its own. Port names are the hosts' names and their interface. */
export class L2 extends Namespace {
  readonly bridge = 'br0';
}

export class Host extends Namespace {
  /** Address of the first NIC, without prefix length. */
  readonly address: string;
  readonly iface: string;
  /** For the files of what runs here; unique to this host. */
  readonly directory: string;

  constructor(name: string, netns: string, leg: Leg, directory: string) {
    super(name, netns);
    this.address = leg.address.replace(/\/.*/, '');
    this.iface = leg.iface ?? 'eth0';
    this.directory = directory;
  }
}

export class Container extends Namespace {
  readonly address: string;
  /** Of each family that it has. */
  readonly addresses: readonly string[];
  readonly host: Host;

  constructor(name: string, netns: string, { address, second }: ContainerOptions, host: Host) {
    super(name, netns);
    this.address = address.replace(/\/.*/, '');
    this.addresses = [address, ...(second ? [second.address] : [])].map((one) => one.replace(/\/.*/, ''));
    this.host = host;
  }
}

let labs = 0;

export class Lab implements AsyncDisposable {
  /** Every namespace name starts with it. */
  readonly prefix: string;
  readonly directory: string;
  readonly #namespaces: Namespace[] = [];

  private constructor(prefix: string, directory: string) {
    this.prefix = prefix;
    this.directory = directory;
  }

  /** Rejects with one sentence where namespaces cannot be made: not root, or a container without the right to. */
  static async create(): Promise<Lab> {
    if (process.getuid?.() !== 0)
      throw new Error('the lab makes network namespaces and needs root; run it as root');
    sweep();
    const lab = new Lab(`tsf${process.pid.toString(36)}-${(labs++).toString(36)}`, openDirectory());
    try {
      await run(['unshare', '--net', 'true']);
    } catch (cause) {
      await lab[Symbol.asyncDispose]();
      throw new Error('the lab cannot make network namespaces here; run it where CAP_SYS_ADMIN is allowed', {
        cause,
      });
    }
    return lab;
  }

  async l2(name: string): Promise<L2> {
    const l2 = await this.#make(new L2(name, `${this.prefix}-${name}`));
    await l2.configure([
      `link add ${l2.bridge} type bridge mcast_snooping 0`,
      `link set ${l2.bridge} mtu ${BRIDGE_MTU} up`,
    ]);
    return l2;
  }

  async host(name: string, options: HostOptions): Promise<Host> {
    const directory = join(this.directory, name);
    const host = await this.#make(new Host(name, `${this.prefix}-${name}`, options, directory));
    await run(['mkdir', '-p', directory]);
    await this.#plug(host, options, 'eth0');
    if (options.second !== undefined) await this.#plug(host, options.second, 'eth1');
    if (options.gateway !== undefined) await host.ip(`route add default via ${options.gateway}`);
    return host;
  }

  /** With nothing in it but a loopback. */
  namespace(name: string): Promise<Namespace> {
    return this.#make(new Namespace(name, `${this.prefix}-${name}`));
  }

  async router(name: string, legs: readonly Leg[]): Promise<Namespace> {
    const router = await this.namespace(name);
    for (const [index, leg] of legs.entries()) await this.#plug(router, leg, `eth${index}`);
    await router.sysctl('net.ipv4.ip_forward', 1);
    await router.tryRun(['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1']);
    return router;
  }

  /** A container without an engine; makes the host's bridge on first use, as an engine would. */
  async container(name: string, host: Host, options: ContainerOptions): Promise<Container> {
    const { bridge = 'docker0', mtu = 1500, second } = options;
    const both = second === undefined ? [options] : [options, second];
    const netns = `${this.prefix}-${name}`;
    const container = await this.#make(new Container(name, netns, options, host));
    const links = await host.ip('-brief link show type bridge');
    if (!links.split('\n').some((line) => line.startsWith(`${bridge} `)))
      await host.configure([
        `link add ${bridge} mtu ${mtu} type bridge`,
        ...both.map(({ gateway }) => `address add ${gateway} dev ${bridge}`),
        `link set ${bridge} up`,
      ]);
    // Index and not name, which may be longer than an interface's.
    const port = `v${this.#namespaces.indexOf(container)}`;
    await host.configure([
      `link add ${port} mtu ${mtu} master ${bridge} type veth peer name eth0 mtu ${mtu} netns ${netns}`,
      `link set ${port} up`,
    ]);
    await container.configure([
      ...both.map(({ address }) => `address add ${address} dev eth0`),
      'link set eth0 up',
      ...both.map(({ gateway }) => `route add default via ${gateway.replace(/\/.*/, '')}`),
    ]);
    return container;
  }

  /** What the programs of the lab printed last, for the message of a failed test. */
  report(): string {
    return this.#namespaces
      .flatMap(({ name, programs }) => programs.map((program) => ({ name, program })))
      .map(({ name, program }) => `--- ${name}: ${program.argv.slice(4).join(' ')}${program.tail()}`)
      .join('\n');
  }

  /** Leaves everything in place when this process ends. */
  keep(): void {
    abandonDirectory(this.directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // First the kill, while parents still tell which are the children of what runs here.
    removeDirectory(this.directory);
    await Promise.all(this.#namespaces.map((namespace) => namespace.stopAll()));
  }

  async #make<N extends Namespace>(namespace: N): Promise<N> {
    recordNamespace(this.directory, namespace.netns);
    await run(['ip', 'netns', 'add', namespace.netns]);
    this.#namespaces.push(namespace);
    // Without this the kernel adds IPv6 addresses a second or two late, in the middle of what a test watches. A
    // kernel without IPv6 has no such setting, and no need of it.
    await namespace.tryRun([
      'sysctl',
      '-qw',
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv6.conf.all.accept_dad=0',
    ]);
    await namespace.configure(['link set lo up']);
    return namespace;
  }

  async #plug(node: Namespace, leg: Leg, defaultIface: string): Promise<void> {
    const { l2, address, iface = defaultIface, mtu = 1500 } = leg;
    // Interface names end at 15 characters.
    const port = `${node.name}-${iface}`.slice(-15);
    await l2.configure([
      `link add ${port} mtu ${BRIDGE_MTU} master ${l2.bridge} type veth peer name ${iface} mtu ${mtu} netns ${node.netns}`,
      `link set ${port} up`,
    ]);
    await node.configure([`address add ${address} dev ${iface}`, `link set ${iface} up`]);
  }
}
