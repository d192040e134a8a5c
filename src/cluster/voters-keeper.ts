/**
 * Keeps in cluster.json where the voters are, as the newest state says: it is how this host finds the cluster when its
 * database is gone. A write that fails costs only how old that is.
 */
import type { Log } from '../observe/log.ts';
import { changeMembership, type KnownMember } from './cluster-file.ts';
import type { Replica } from './replica.ts';

export class VotersKeeper {
  readonly #replica: Pick<Replica, 'state' | 'knownVoters' | 'onChange'>;
  readonly #dataDir: string;
  readonly #log: Log;
  /** As it was written last, or is being written. */
  #written = '';
  #writing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(replica: Pick<Replica, 'state' | 'knownVoters' | 'onChange'>, dataDir: string, log: Log) {
    this.#replica = replica;
    this.#dataDir = dataDir;
    this.#log = log;
    replica.onChange(() => this.#follow());
    this.#follow();
  }

  /** The last write has ended. */
  async close(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }

  #follow(): void {
    if (this.#stopped || this.#replica.state === null) return;
    const known = this.#replica.knownVoters();
    const text = JSON.stringify(known);
    // While the log is still arriving nobody may be known to vote.
    if (known.length === 0 || text === this.#written) return;
    this.#written = text;
    this.#writing = this.#write(known).catch((error: unknown) => {
      this.#log.error('voters-not-stored', 'Where the voters are cannot be stored.', { err: error });
    });
  }

  async #write(known: readonly KnownMember[]): Promise<void> {
    await changeMembership(this.#dataDir, (membership) => ({ ...membership, known }));
  }
}
