/**
 * Keeps dataplane.json at the newest lease snapshot. One write at a time, the newest wins; a write that fails is logged
 * and costs only how much the next start without the log knows.
 */
import type { Membership } from '../cluster/cluster-file.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import type { Log } from '../observe/log.ts';
import type { LeaseSnapshot, NodeId } from '../subnet/lease.ts';
import { readLeaseCache, writeLeaseCache } from '../subnet/lease-cache.ts';

export class CacheWriter {
  readonly #path: string;
  readonly #membership: Membership;
  readonly #nodeId: NodeId;
  readonly #log: Log;
  #next: LeaseSnapshot<NetworkConfig> | null = null;
  #writing: Promise<void> | null = null;

  constructor(path: string, membership: Membership, nodeId: NodeId, log: Log) {
    this.#path = path;
    this.#membership = membership;
    this.#nodeId = nodeId;
    this.#log = log;
  }

  /** Null where there is none, or it is of another cluster, node or epoch. */
  async read(): Promise<LeaseSnapshot<NetworkConfig> | null> {
    const cache = await readLeaseCache(this.#path);
    const { clusterId, epoch } = this.#membership;
    const isOurs = cache?.clusterId === clusterId && cache.epoch === epoch && cache.nodeId === this.#nodeId;
    return isOurs ? cache.snapshot : null;
  }

  write(snapshot: LeaseSnapshot<NetworkConfig>): void {
    this.#next = snapshot;
    this.#writing ??= this.#run();
  }

  /** The last write has ended. */
  async close(): Promise<void> {
    await this.#writing;
  }

  /** Over in the same step as its last look for a next one. */
  async #run(): Promise<void> {
    while (this.#next !== null) {
      const snapshot = this.#next;
      this.#next = null;
      const { clusterId, epoch } = this.#membership;
      try {
        await writeLeaseCache(this.#path, { clusterId, epoch, nodeId: this.#nodeId, snapshot });
      } catch (error) {
        this.#log.error('cache-not-written', `${this.#path} cannot be written.`, { err: error });
      }
    }
    this.#writing = null;
  }
}
