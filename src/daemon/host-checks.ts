/**
 * What the agent finds out about the host it runs on, beside its own work: programs that work against it, and a NIC
 * that spoils the checksums of the tunnel. Derives what to look for from the data plane as it is, and starts when that
 * is ready.
 */
import { tunnelled } from '../backend/backend.ts';
import type { Wanted } from '../host/surroundings.ts';
import { SurroundingsWatch } from '../host/watch.ts';
import { cidrBase } from '../net/cidr.ts';
import { ipFamily } from '../net/ip.ts';
import { Ethtool } from '../netlink/ethtool.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import { ChecksumWatch, type Tunnel } from '../path/checksum-watch.ts';
import { answersSyn } from '../path/syn.ts';
import { subnetOf } from '../subnet/lease.ts';
import type { DataPlane } from './data-plane.ts';

export interface HostChecksOptions {
  readonly dataPlane: DataPlane;
  /** Where the agents listen. */
  readonly port: number;
  readonly log: Log;
}

/** The data plane passes more often than anything of this changes. */
const LOOK_MS = 1_000;

export class HostChecks implements AsyncDisposable {
  readonly #options: HostChecksOptions;
  readonly #surroundings: SurroundingsWatch;
  readonly #ethtool = Ethtool.open();
  readonly #checksums: ChecksumWatch;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: HostChecksOptions) {
    const { log } = options;
    this.#options = options;
    this.#surroundings = new SurroundingsWatch({ wanted: () => this.#wanted(), log });
    this.#checksums = new ChecksumWatch({ offload: this.#ethtool, answersSyn, log });
  }

  get problems(): readonly Problem[] {
    return [...this.#surroundings.problems, ...this.#checksums.problems];
  }

  /** After each pass of a data plane that is ready. */
  look(): void {
    this.#surroundings.start();
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    this.#checksums.setTunnels(this.#tunnels());
  }

  async close(): Promise<void> {
    await this.#surroundings.close();
    await this.#checksums.close();
    this.#ethtool[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #wanted(): Wanted | null {
    const { dataPlane, port } = this.#options;
    const { host, snapshot, devices } = dataPlane;
    if (host === null || snapshot === null || snapshot.own === null) return null;
    const { Backend: backend, EnableIPv4: ipv4, EnableIPv6: ipv6 } = snapshot.config;
    if (backend.Type === 'alloc') return null;
    return {
      iface: host.iface,
      devices: devices.map(({ name, mac, local }) => ({ name, mac, family: ipFamily(local) })),
      ...{ port, vxlanPort: tunnelled(backend) ? backend.Port : null, ipv4, ipv6 },
    };
  }

  /** Those in use that answer probes: what is sent to a peer's base takes the way of its containers. */
  #tunnels(): readonly Tunnel[] {
    const { snapshot, paths, devices } = this.#options.dataPlane;
    if (snapshot === null || snapshot.own === null) return [];
    const { own, peers } = snapshot;
    return devices.flatMap(({ name: device, local }) => {
      const from = subnetOf(own, ipFamily(local));
      if (from === null) return [];
      const subnets = peers.flatMap((peer) => subnetOf(peer, ipFamily(local)) ?? []);
      return subnets
        .filter((subnet) => paths.current.get(subnet)?.state === 'vxlan')
        .map((subnet) => ({ device, from: cidrBase(from), to: cidrBase(subnet) }));
    });
  }
}
