/**
 * Brings a member whose database cannot be believed back into its cluster, while its agent serves the data plane from
 * the cache: asks the leader for a new replica id, puts the damaged database aside and starts an empty replica, which
 * learns the log from the others. Node id and lease stay. Tries until it succeeds or its agent stops.
 *
 * Nothing changes here before the cluster has agreed, and the new id is written down before its database is made: no
 * database is ever made twice for one id, whatever is interrupted where. A directory that only is an old copy is told so
 * and must not come back by itself, for the newer one may live elsewhere.
 */

import { X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { EMPTY_STATE } from '../../raft/core/bootstrap.ts';
import { LevelStorage } from '../../raft/storage/level.ts';
import { quarantine } from '../../raft/storage/quarantine.ts';
import { StorageDamagedError } from '../../raft/storage/storage.ts';
import type { Endpoint } from '../../raft/transport/transport.ts';
import { type Membership, saveCaKey, saveClusterFile } from '../cluster/cluster-file.ts';
import type { Identity } from '../cluster/identity.ts';
import { rejoinCluster, WRONG_CLUSTER } from '../cluster/join.ts';
import type { Replica } from '../cluster/replica.ts';
import type { JoinAnswer } from '../cluster/rpc.ts';
import { deadline } from '../deadline.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../errors.ts';
import type { Problem } from '../observe/agent-facts.ts';
import { ownAddress } from '../path/interface-selection.ts';
import { raftFiles } from './directories.ts';
import { startReplica } from './replica-start.ts';
import type { Workplace } from './workplace.ts';

/** Between attempts, and between looks for an interface or a port that is missing. */
const RETRY_MS = 1_000;
const ATTEMPT_MS = 30_000;

/** What the cluster says to a host that it does not know as a member any more. */
const NOT_A_MEMBER = 'not-a-member';

export class Comeback {
  readonly #workplace: Workplace;
  readonly #identity: Identity;
  readonly #stop = new AbortController();
  #membership: Membership;
  /** What is wrong with the database. */
  #damage: string;
  /** What stood in the way last. */
  #obstacle: Refusal | null = null;
  #running: Promise<void> = Promise.resolve();
  #isBack = false;

  constructor(workplace: Workplace, identity: Identity, membership: Membership, damage: StorageDamagedError) {
    this.#workplace = workplace;
    this.#identity = identity;
    this.#membership = membership;
    this.#damage = damage.message;
  }

  /** Null once the host is back. */
  get problem(): Problem | null {
    if (this.#isBack) return null;
    const text = `The database of this host's replica cannot be used: ${this.#damage}.`;
    return { ...refuse('database-damaged', EXIT.failed, text, this.#advice()), severity: 'error' };
  }

  /** `attach` takes the replica over; it is called once, and never after `close`. */
  start(attach: (replica: Replica, membership: Membership) => void): void {
    this.#running = this.#run(attach).catch((error: unknown) => {
      this.#workplace.start.log.error('comeback-failed', 'This host cannot come back by itself.', {
        err: error,
      });
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #advice(): string {
    if (this.#voters().length === 0)
      return 'Containers keep talking. This host was the only voter: restore a snapshot with "tsflannel snapshot restore FILE", or run "tsflannel recover --force-new-cluster" on another host.';
    if (this.#obstacle === null) return 'Containers keep talking, and the host comes back by itself.';
    return `Containers keep talking, and the host comes back by itself when it can: ${this.#obstacle.text} ${this.#obstacle.fix}`;
  }

  async #run(attach: (replica: Replica, membership: Membership) => void): Promise<void> {
    const { log } = this.#workplace.start;
    while (!this.#stop.signal.aborted && this.#voters().length > 0) {
      try {
        const replica = await this.#attempt();
        if (replica !== null && this.#stop.signal.aborted) await replica.close();
        else if (replica !== null) {
          this.#isBack = true;
          log.info('comeback', `This host is back as replica ${replica.id}.`);
          attach(replica, this.#membership);
          return;
        }
      } catch (error) {
        if (!(error instanceof TsflannelError)) throw error;
        if (isFinal(error)) return this.#giveUp(error);
        this.#meet(error.refusal);
      }
      await this.#pause();
    }
  }

  /** Null when there was no interface to speak from, or what was made is damaged as well. */
  async #attempt(): Promise<Replica | null> {
    const { selection } = this.#workplace.watcher;
    if (selection === null) return null;
    const signal = deadline(ATTEMPT_MS, this.#stop.signal);
    const answer = await rejoinCluster(
      {
        contacts: this.#voters(),
        identity: this.#identity,
        own: (family) => ownAddress(selection, family),
        caCert: new X509Certificate(this.#membership.caCert),
        retired: this.#membership.replicaId,
      },
      signal,
    );
    await this.#become(answer);
    try {
      return await this.#startReplica();
    } catch (error) {
      if (!(error instanceof StorageDamagedError)) throw error;
      this.#damage = error.message;
      return null;
    }
  }

  async #become({ replicaId, nodeCert, caCert, known }: JoinAnswer): Promise<void> {
    const { dataDir } = this.#workplace.start;
    const membership = { ...this.#membership, replicaId, nodeCert, caCert, known };
    await saveClusterFile(dataDir, membership);
    this.#membership = membership;
    await saveCaKey(dataDir, membership.epoch, null); // a learner holds none
  }

  async #startReplica(): Promise<Replica> {
    const { dataDir, log } = this.#workplace.start;
    const membership = this.#membership;
    const { database } = raftFiles(dataDir, membership.epoch);
    const aside = await quarantine(database);
    if (aside !== null) log.warn('database-quarantined', `The damaged database is kept in ${aside}.`);
    const names = { cluster: membership.clusterId, replica: membership.replicaId };
    const storage = await LevelStorage.create(database, names, EMPTY_STATE);
    return await startReplica({
      workplace: this.#workplace,
      identity: this.#identity,
      membership,
      caKey: null,
      founding: null,
      storage,
    });
  }

  /** Where the voters are, as this host last knew. */
  #voters(): readonly Endpoint[] {
    const { nodeId } = this.#identity;
    return this.#membership.known.filter((one) => one.nodeId !== nodeId).map(({ endpoint }) => endpoint);
  }

  /** The same every second says nothing new. */
  #meet(refusal: Refusal): void {
    if (this.#obstacle?.text !== refusal.text)
      this.#workplace.start.log.warn('comeback-waiting', refusal.text, { fix: refusal.fix });
    this.#obstacle = refusal;
  }

  /** An old copy must not run; a host that was removed serves its containers until somebody decides. */
  #giveUp(error: TsflannelError): void {
    this.#meet(error.refusal);
    if (error.refusal.code !== NOT_A_MEMBER) this.#workplace.disqualify(error);
  }

  async #pause(): Promise<void> {
    await delay(RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined); // the loop sees the abort
  }
}

/** The cluster has said no, and will say it again. */
function isFinal({ refusal }: TsflannelError): boolean {
  return refusal.exitCode === EXIT.refused && refusal.code !== WRONG_CLUSTER;
}
