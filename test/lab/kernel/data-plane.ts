/**
 * The data plane of one host, put together as the agent does it but without an agent: leases come from the test, the
 * kernel is the namespace's own.
 */
import { desired } from '../../../src/backend/backend.ts';
import type { NetworkConfig } from '../../../src/config/network-config.ts';
import { delta } from '../../../src/dataplane/delta.ts';
import type { DesiredState } from '../../../src/dataplane/desired-state.ts';
import { plan } from '../../../src/dataplane/plan.ts';
import { Reconciler } from '../../../src/dataplane/reconciler.ts';
import { toIp } from '../../../src/net/ip.ts';
import { NetlinkKernel } from '../../../src/netlink/kernel.ts';
import { RouteLookup } from '../../../src/path/route-lookup.ts';
import { type ChosenPath, selectPath } from '../../../src/path/selection.ts';
import { leaseSide, type NodeId } from '../../../src/subnet/lease.ts';
import { inNamespace } from '../../support/in-namespace.ts';
import { type LeaseHost, nodeIdOf, snapshot } from '../../support/leases.ts';
import type { Host } from '../lab.ts';

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
  ): Promise<ReadonlyMap<NodeId, ChosenPath>> {
    const leases = snapshot(config, this.#self, hosts);
    await this.#lookup.setPeers(
      'eth0',
      leases.peers.flatMap((peer) => leaseSide(peer, 4)?.publicIp ?? []),
    );
    const paths = new Map(
      leases.peers.map((peer) => {
        const side = leaseSide(peer, 4);
        const proof = side === null ? undefined : this.#lookup.proofs.get(side.publicIp);
        return [peer.nodeId, selectPath(config.Backend, peer, proof)];
      }),
    );
    const link = (await this.kernel.read()).links.find(({ name }) => name === 'eth0');
    if (link === undefined) throw new Error('no eth0');
    const address = toIp(this.#self.address);
    const facts = { iface: 'eth0', index: link.index, address, address6: null, mtu: link.mtu };
    this.#state = desired(leases, facts, paths);
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
