/**
 * Keeps this host's data plane at what the leases say: paths, then routes and firewall, then subnet.env. Takes whole
 * snapshots from whoever has one (the log, or the cache on disk) and goes on without either. One pass at a time;
 * whatever comes meanwhile is one more pass. Never asks the cluster anything and never removes what containers use.
 */

import { containerMtu, desired, tunnelled } from '../backend/backend.ts';
import { vxlanDeviceName } from '../backend/vxlan.ts';
import type { AgentOptions } from '../config/agent-options.ts';
import { type NetworkConfig, subnetRange } from '../config/network-config.ts';
import { type DesiredState, NOTHING_DESIRED, type VxlanDevice } from '../dataplane/desired-state.ts';
import { type Kernel, KernelError } from '../dataplane/kernel.ts';
import { PROBE_MARK_DIRECT, PROBE_MARK_MASK, PROBE_MARK_VXLAN } from '../dataplane/ownership.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import { type ListedRoute, routeList } from '../dataplane/route-list.ts';
import { TsflannelError } from '../errors.ts';
import type {
  Clamp,
  Firewall,
  FirewallConfig,
  FirewallEngine,
  FirewallFamily,
  PeerSource,
} from '../firewall/firewall.ts';
import { cidrBase } from '../net/cidr.ts';
import { FAMILIES, type Family, type Ip } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import { ProblemLog } from '../observe/problem-log.ts';
import type { HostFacts } from '../path/interface-selection.ts';
import type { OpenProbeSocket } from '../path/prober.ts';
import { type Lease, type LeaseSnapshot, leaseSide, type NodeId, subnetOf } from '../subnet/lease.ts';
import { writeSubnetFile } from '../subnet/subnet-file.ts';
import { PeerPaths } from './peer-paths.ts';

export interface DataPlaneOptions {
  readonly nodeId: NodeId;
  readonly kernel: Kernel;
  readonly firewall: Firewall;
  readonly agent: AgentOptions;
  readonly log: Log;
  /** After each pass, and after each of the reconciler. */
  readonly onChange: () => void;
  /** Instead of a raw socket of this process's own namespace. */
  readonly openProbeSocket?: OpenProbeSocket;
}

const RETRY_MS = 1_000;

export class DataPlane implements AsyncDisposable {
  readonly reconciler: Reconciler;
  readonly paths: PeerPaths;
  readonly #options: DataPlaneOptions;
  readonly #resync: NodeJS.Timeout;
  readonly #stopListening: () => void;
  #snapshot: LeaseSnapshot<NetworkConfig> | null = null;
  #host: HostFacts | null = null;
  #engine: FirewallEngine | null = null;
  #desired: DesiredState = NOTHING_DESIRED;
  #written: string | null = null;
  /** Of this run, or perhaps of an earlier one. */
  #hasFirewall = true;
  /** Of the hosts on our L2. The kernel forgets those it does not speak with; they are still who they were. */
  readonly #macs = new Map<Ip, Mac>();
  /** What the firewall was told last. */
  #clamped = '';
  #problem: Problem | null = null;
  #ready = false;
  #dirty = false;
  #running: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    const { kernel, nodeId, onChange, log, openProbeSocket: open } = options;
    const problemLog = new ProblemLog(log);
    this.reconciler = new Reconciler({
      ...{ kernel, nodeId },
      onPass: () => {
        problemLog.update(this.reconciler.stats.problems);
        onChange();
      },
    });
    this.paths = new PeerPaths({
      ...{ kernel, log, onLookup: () => this.#wake(), onProof: () => this.#steer() },
      ...(open === undefined ? {} : { open }),
    });
    this.#stopListening = options.firewall.onChange(() => this.#wake());
    this.#resync = setInterval(() => this.#wake(), options.agent.iptablesResyncMs);
  }

  /** Firewall rules and subnet.env are in place and the route table has been synchronised once. */
  get ready(): boolean {
    return this.#ready;
  }

  /** What Docker starts from is on the disk, written by this process. */
  get subnetFileWritten(): boolean {
    return this.#written !== null;
  }

  get snapshot(): LeaseSnapshot<NetworkConfig> | null {
    return this.#snapshot;
  }

  get host(): HostFacts | null {
    return this.#host;
  }

  get problems(): readonly Problem[] {
    const own = this.#problem === null ? [] : [this.#problem];
    return [...own, ...this.#options.firewall.problems, ...this.reconciler.stats.problems];
  }

  /** Tunnels that are to be there. */
  get devices(): readonly VxlanDevice[] {
    return this.#desired.devices;
  }

  /** As the kernel has them now. */
  async routes(): Promise<readonly ListedRoute[]> {
    const actual = await this.#options.kernel.read();
    return routeList(this.#desired, actual, this.reconciler.rivals, this.#options.nodeId);
  }

  /** The newest snapshot; older ones than what is here are the caller's to drop. */
  setSnapshot(snapshot: LeaseSnapshot<NetworkConfig>): void {
    this.#snapshot = snapshot;
    this.#wake();
  }

  /** Null while the interface is missing: the kernel keeps what it has. */
  setHost(host: HostFacts | null): void {
    this.#host = host;
    this.#wake();
  }

  /** Null when no engine answers. The one that was there last is the best guess at the one that comes next. */
  setEngine(engine: FirewallEngine | null): void {
    this.#engine = engine ?? this.#engine;
    this.#wake();
  }

  /** Idempotent; the kernel keeps everything. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#resync);
    this.#stopListening();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.paths[Symbol.asyncDispose]();
    await this.#running;
    await this.reconciler.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #later(ms: number): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#wake();
    }, ms);
  }

  #wake(): void {
    if (this.#closed) return;
    this.#dirty = true;
    if (this.#running !== null) return;
    this.#running = this.#run();
  }

  /** Over in the same step as its last look at `dirty`: whatever comes after that begins another. */
  async #run(): Promise<void> {
    try {
      while (this.#dirty && !this.#closed) {
        this.#dirty = false;
        await this.#pass();
        this.#options.onChange();
      }
    } finally {
      this.#running = null;
    }
  }

  async #pass(): Promise<void> {
    const snapshot = this.#snapshot;
    if (snapshot === null || snapshot.own === null || this.#host === null) return;
    const { own } = snapshot;
    const host = withKnownAddresses(this.#host, own);
    try {
      await this.paths.update(snapshot, host);
      // Routes do not wait for the firewall: its tools take longer than the kernel, and it guards more than it opens.
      this.#route(snapshot, host);
      await this.#learnMacs(host.iface);
      await this.#applyFirewall(snapshot, own, host);
      await this.#writeSubnetFile(snapshot, own, host);
      this.#problem = null;
    } catch (error) {
      this.#fail(error);
      return;
    }
    await this.reconciler.synced;
    this.#ready = true;
  }

  /** What the world refuses is a problem that is shown and tried again; anything else is ours and ends the agent. */
  #fail(error: unknown): void {
    const { code, text, fix } = problemOf(error);
    if (this.#problem?.text !== text) this.#options.log.error('data-plane-failed', text, { code, fix });
    this.#problem = { code, severity: 'error', text, fix };
    this.#later(RETRY_MS);
  }

  #route(snapshot: LeaseSnapshot<NetworkConfig>, host: HostFacts): void {
    this.#desired = desired(snapshot, host, this.paths.current);
    this.reconciler.setDesired(this.#desired);
  }

  /** A path that died is left now, whatever a pass is waiting for; the firewall follows where it is concerned. */
  #steer(): void {
    const snapshot = this.#snapshot;
    if (this.#closed || snapshot === null || snapshot.own === null || this.#host === null) return;
    if (this.#desired === NOTHING_DESIRED) return;
    this.#route(snapshot, withKnownAddresses(this.#host, snapshot.own));
    this.#options.onChange();
    if (JSON.stringify(this.#clamps(snapshot, this.#host)) !== this.#clamped) this.#wake();
  }

  /** Peers that packets of our containers' full length do not reach. */
  #clamps({ config }: LeaseSnapshot<NetworkConfig>, host: HostFacts): readonly Clamp[] {
    const full = containerMtu(config, host.mtu);
    return [...this.paths.current].flatMap(([subnet, { kind, mtus }]) => {
      const mtu = kind === null ? null : mtus[kind];
      return mtu === null || mtu >= full ? [] : [{ subnet, mtu }];
    });
  }

  async #learnMacs(iface: string): Promise<void> {
    for (const [ip, mac] of await this.#options.kernel.neighboursOn(iface)) this.#macs.set(ip, mac);
  }

  /** With alloc nothing of ours is in the kernel: what an earlier configuration left goes, once. */
  async #applyFirewall(snapshot: LeaseSnapshot<NetworkConfig>, own: Lease, host: HostFacts): Promise<void> {
    const { firewall } = this.#options;
    if (snapshot.config.Backend.Type !== 'alloc') {
      this.#hasFirewall = true;
      const config = this.#firewallConfig(snapshot, own, host);
      this.#clamped = JSON.stringify(config.clamps);
      await firewall.apply(config);
    } else if (this.#hasFirewall) {
      await firewall.remove();
      this.#hasFirewall = false;
    }
  }

  #firewallConfig(snapshot: LeaseSnapshot<NetworkConfig>, own: Lease, host: HostFacts): FirewallConfig {
    const { agent } = this.#options;
    return {
      families: FAMILIES.flatMap((family) => firewallFamily(snapshot, own, family) ?? []),
      iface: host.iface,
      peers: FAMILIES.flatMap((family) => this.#sources(snapshot, host, family)),
      clamps: this.#clamps(snapshot, host),
      probes: { directMark: PROBE_MARK_DIRECT, vxlanMark: PROBE_MARK_VXLAN, mask: PROBE_MARK_MASK },
      engine: this.#engine,
      ipMasq: agent.ipMasq,
      randomFully: !agent.ipMasqFullyRandomDisable,
      forwardRules: agent.iptablesForwardRules,
    };
  }

  /** Every way that the packets of a peer may come, the one in use and the others: it may choose another first. */
  #sources(
    { config, peers }: LeaseSnapshot<NetworkConfig>,
    host: HostFacts,
    family: Family,
  ): readonly PeerSource[] {
    const tunnel = tunnelOf(config, family);
    return peers.flatMap((peer) => {
      const side = leaseSide(peer, family);
      if (side === null) return [];
      const { subnet } = side;
      const mtus = this.paths.current.get(subnet)?.mtus;
      const mac = side.vxlan?.VtepMAC;
      const direct = mtus !== undefined && mtus.direct !== null;
      return [
        ...(direct ? [{ subnet, iface: host.iface, mac: this.#macs.get(side.publicIp) ?? null }] : []),
        ...(tunnel !== null && mac !== undefined ? [{ subnet, iface: tunnel.device, mac }] : []),
      ];
    });
  }

  async #writeSubnetFile(
    { config }: LeaseSnapshot<NetworkConfig>,
    own: Lease,
    host: HostFacts,
  ): Promise<void> {
    const { subnetFile, ipMasq } = this.#options.agent;
    const mtu = containerMtu(config, host.mtu);
    const file = { config, subnet: own.subnet, ipv6Subnet: own.ipv6Subnet, mtu, ipMasq };
    const text = JSON.stringify(file);
    if (text === this.#written) return;
    await writeSubnetFile(subnetFile, file);
    this.#written = text;
    this.#options.log.info('subnet-file-written', `${subnetFile} is written.`, { subnet: own.subnet, mtu });
  }
}

/** Null where the host has no subnet of the family. */
function firewallFamily(
  { config, memberIps }: LeaseSnapshot<NetworkConfig>,
  own: Lease,
  family: Family,
): FirewallFamily | null {
  const subnet = subnetOf(own, family);
  if (subnet === null) return null;
  const network = subnetRange(config, family)?.network ?? subnet;
  return { network, subnet, base: cidrBase(subnet), memberIps, vxlan: tunnelOf(config, family) };
}

function tunnelOf({ Backend: backend }: NetworkConfig, family: Family): FirewallFamily['vxlan'] {
  if (!tunnelled(backend)) return null;
  const { VNI: vni, Port: port } = backend;
  return { device: vxlanDeviceName(vni, family), vni, port };
}

/**
 * An address that is gone for now, as IPv6 ones are after a link was down, is still where the others send to: nothing of
 * ours that has it in it goes. The host's own is waited for.
 */
function withKnownAddresses(host: HostFacts, { attributes }: Lease): HostFacts {
  const { publicIp, publicIpv6, interfaceIp } = attributes;
  return {
    ...host,
    address: host.address ?? interfaceIp ?? publicIp,
    address6: host.address6 ?? publicIpv6,
  };
}

function problemOf(error: unknown): Omit<Problem, 'severity'> {
  if (error instanceof TsflannelError) return error.refusal;
  const isSystemError = error instanceof Error && 'syscall' in error;
  if (!isSystemError && !(error instanceof KernelError)) throw error;
  return {
    code: 'data-plane-failed',
    text: `The data plane of this host cannot be set up: ${error.message}.`,
    fix: 'Remove the cause; the agent tries again every second.',
  };
}
