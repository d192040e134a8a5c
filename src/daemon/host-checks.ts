/**
 * What the agent finds out about the host it runs on, beside its own work: programs that work against it, and a NIC
 * that spoils the checksums of the tunnel. Derives what to look for from the data plane as it is, and starts when that
 * is ready.
 */

import { tunnelled } from '../backend/backend.ts';
import { vtepMac, vxlanDeviceName } from '../backend/vxlan.ts';
import { networkFamilies } from '../config/network-config.ts';
import type { Wanted } from '../host/surroundings.ts';
import { SurroundingsWatch } from '../host/watch.ts';
import { cidrBase } from '../net/cidr.ts';
import { FAMILIES } from '../net/ip.ts';
import { Ethtool } from '../netlink/ethtool.ts';
import type { Problem } from '../observe/agent-facts.ts';
import type { Log } from '../observe/log.ts';
import { ChecksumWatch, type Tunnel } from '../path/checksum-watch.ts';
import { answersSyn } from '../path/syn.ts';
import { type NodeId, subnetOf } from '../subnet/lease.ts';
import type { DataPlane } from './data-plane.ts';

export interface HostChecksOptions {
  readonly dataPlane: DataPlane;
  readonly nodeId: NodeId;
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
    const { dataPlane, nodeId, port } = this.#options;
    const { host, snapshot } = dataPlane;
    if (host === null || snapshot === null || snapshot.own === null) return null;
    const { Backend: backend, EnableIPv6: ipv6 } = snapshot.config;
    if (backend.Type === 'alloc') return null;
    const isTunnelled = tunnelled(backend);
    return {
      iface: host.iface,
      devices: isTunnelled
        ? networkFamilies(snapshot.config).map((family) => ({
            name: vxlanDeviceName(backend.VNI, family),
            mac: vtepMac(nodeId, family),
          }))
        : [],
      ...{ port, vxlanPort: isTunnelled ? backend.Port : null, ipv6 },
    };
  }

  /** Those in use: what is sent to a peer's base takes the way of its containers. */
  #tunnels(): readonly Tunnel[] {
    const { snapshot, paths } = this.#options.dataPlane;
    const own = snapshot?.own ?? null;
    const backend = snapshot?.config.Backend;
    if (snapshot === null || own === null || backend === undefined || !tunnelled(backend)) return [];
    return FAMILIES.flatMap((family) => {
      const subnet = subnetOf(own, family);
      if (subnet === null) return [];
      const device = vxlanDeviceName(backend.VNI, family);
      const to = snapshot.peers.flatMap((peer) => subnetOf(peer, family) ?? []);
      return to
        .filter((peer) => paths.current.get(peer)?.kind === 'vxlan')
        .map((peer) => ({ device, from: cidrBase(subnet), to: cidrBase(peer) }));
    });
  }
}
