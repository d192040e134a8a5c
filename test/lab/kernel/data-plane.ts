/**
 * The data plane of one host, put together as the agent does it but without an agent: leases come from the test, the
 * kernel is the namespace's own.
 */
import { desired, linkMtus } from '../../../src/backend/backend.ts';
import type { NetworkConfig } from '../../../src/config/network-config.ts';
import { delta } from '../../../src/dataplane/delta.ts';
import type { DesiredState } from '../../../src/dataplane/desired-state.ts';
import { plan } from '../../../src/dataplane/plan.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import type { Cidr } from '../../../src/net/cidr.ts';
import { toIp } from '../../../src/net/ip.ts';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { type ChosenPath, type PathKind, pathTarget } from '../../../src/path/candidate.ts';
import { Evidence } from '../../../src/path/evidence.ts';
import { RouteLookup } from '../../../src/path/route-lookup.ts';
import { firstSelected, select } from '../../../src/path/selection.ts';
import { leaseSide, type NodeId } from '../../../src/subnet/lease.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { type LeaseHost, nodeIdOf, snapshot } from '../../support/leases.ts';
import type { Host } from '../lab.ts';

/** The way that a route lookup alone would choose. */
interface LookedUpPath {
  readonly kind: PathKind | 'down';
  readonly reason: string | null;
  /** Why it is not direct. */
  readonly direct: string | null;
}

const DEADLINE_MS = 20_000;

export class DataPlane implements AsyncDisposable {
  readonly host: Host;
  readonly kernel: NetlinkKernel;
  readonly reconciler: Reconciler;
  readonly #self: LeaseHost;
  readonly #lookup: RouteLookup;
  readonly #waiting = new Set<() => void>();
  #state: DesiredState | null = null;

  constructor(host: Host, self: LeaseHost) {
    this.host = host;
    this.#self = self;
    this.kernel = inNamespace(host.netns, () => NetlinkKernel.open());
    this.#lookup = new RouteLookup({ kernel: this.kernel, onChange: () => undefined });
    this.reconciler = new Reconciler({
      kernel: this.kernel,
      nodeId: nodeIdOf(self.number),
      onPass: () => {
        for (const look of [...this.#waiting]) look();
      },
    });
  }

  /** Resolves when the kernel holds what these leases ask for. */
  async program(
    config: NetworkConfig,
    hosts: readonly LeaseHost[],
  ): Promise<ReadonlyMap<NodeId, LookedUpPath>> {
    const leases = snapshot(config, this.#self, hosts);
    await this.#lookup.setPeers(
      'eth0',
      leases.peers.flatMap((peer) => leaseSide(peer, 4)?.publicIp ?? []),
    );
    const link = (await this.kernel.read()).links.find(({ name }) => name === 'eth0');
    if (link === undefined) throw new Error('no eth0');
    const address = toIp(this.#self.address);
    const facts = { iface: 'eth0', index: link.index, address, address6: null, mtu: link.mtu };
    const chosen = new Map<Cidr, ChosenPath>();
    const paths = new Map<NodeId, LookedUpPath>();
    for (const peer of leases.peers) {
      const side = leaseSide(peer, 4);
      if (side === null) continue;
      const mtus = linkMtus(config.Backend, link.mtu, peer.attributes.linkMtu, 4);
      const { direct, vxlan } = pathTarget(
        config.Backend,
        side,
        this.#lookup.proofs.get(side.publicIp),
        mtus,
      );
      const kind = direct.possible ? 'direct' : vxlan.possible ? 'vxlan' : null;
      chosen.set(side.subnet, {
        kind,
        mtus: { direct: direct.possible ? direct.mtu : null, vxlan: vxlan.possible ? vxlan.mtu : null },
      });
      const ways = {
        direct: { candidate: direct, evidence: new Evidence() },
        vxlan: { candidate: vxlan, evidence: new Evidence() },
      };
      const { reason } = select(firstSelected(kind, 0), ways, 0);
      paths.set(peer.nodeId, {
        kind: kind ?? 'down',
        reason,
        direct: direct.possible ? null : direct.reason,
      });
    }
    this.#state = desired(leases, facts, chosen);
    this.reconciler.setDesired(this.#state);
    await this.reconciler.sync();
    return paths;
  }

  /** What a pass would do now. */
  async difference(): Promise<readonly unknown[]> {
    if (this.#state === null) throw new Error('not programmed');
    const nodeId = nodeIdOf(this.#self.number);
    return plan(delta(this.#state, await this.kernel.read(), nodeId), nodeId);
  }

  /** Resolves once the loop, and nobody else, has put everything back; in milliseconds since the call. */
  async repaired(before: number): Promise<number> {
    const start = performance.now();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`not repaired after ${DEADLINE_MS} ms`));
      }, DEADLINE_MS);
      const look = (): void => {
        if (this.reconciler.stats.repaired <= before) return;
        this.difference().then((left) => {
          if (left.length > 0) return;
          clearTimeout(timer);
          this.#waiting.delete(look);
          resolve();
        }, reject);
      };
      this.#waiting.add(look);
      look();
    });
    return performance.now() - start;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reconciler.close();
    await this.#lookup.close();
    this.kernel.close();
  }
}
