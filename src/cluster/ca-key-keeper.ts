/**
 * Keeps the CA key where it belongs: a voter asks the other voters for it, a host that does not vote deletes it. A
 * leader that does not have it yet admits nobody; the joiner asks again.
 */
import type { Log } from '../observe/log.ts';
import { saveCaKey } from './cluster-file.ts';
import type { Replica } from './replica.ts';

const INTERVAL_MS = 1_000;

export class CaKeyKeeper implements Disposable {
  readonly #replica: Replica;
  readonly #dataDir: string;
  readonly #epoch: number;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #busy = false;
  #stopped = false;

  constructor(replica: Replica, dataDir: string, epoch: number, log: Log) {
    this.#replica = replica;
    this.#dataDir = dataDir;
    this.#epoch = epoch;
    this.#log = log;
    this.#timer = setInterval(() => this.#wake(), INTERVAL_MS);
    replica.onChange(() => this.#wake());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#stopped = true;
  }

  #wake(): void {
    const { voters, outgoing } = this.#replica.raft.configuration;
    const votes = voters.includes(this.#replica.id) || outgoing.includes(this.#replica.id);
    // An empty configuration is a replica that does not know yet, not one that must not vote.
    if (this.#busy || this.#stopped || voters.length === 0 || votes === (this.#replica.caKey !== null))
      return;
    this.#busy = true;
    this.#settle(votes)
      .catch((error: unknown) => {
        this.#log.error('ca-key-failed', 'The CA key cannot be stored or deleted.', { err: error });
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #settle(votes: boolean): Promise<void> {
    const caKey = votes ? await this.#fetch(AbortSignal.timeout(INTERVAL_MS)) : null;
    if (this.#stopped || (votes && caKey === null)) return;
    await saveCaKey(this.#dataDir, this.#epoch, caKey);
    this.#replica.setCaKey(caKey);
    this.#log.info(
      caKey === null ? 'ca-key-deleted' : 'ca-key-received',
      caKey === null
        ? 'This host does not vote any more and has deleted the CA key.'
        : 'This host votes and keeps the CA key.',
    );
  }

  /** Asks the other voters, the leader first; null when none has it to give now. */
  async #fetch(signal: AbortSignal): Promise<string | null> {
    const { leader, configuration } = this.#replica.raft;
    const others = new Set([...(leader === null ? [] : [leader]), ...configuration.voters]);
    others.delete(this.#replica.id);
    for (const voter of others) {
      const answer = await this.#replica.ask(voter, { method: 'ca-key' }, signal);
      if (answer?.kind === 'ca-key' && this.#replica.isCaKey(answer.caKey)) return answer.caKey;
    }
    return null;
  }
}
