/**
 * Keeps the CA key where it belongs: a voter asks the leader for it, a host that does not vote deletes it. Losing the
 * race with a leader change costs a second, never a join: only the leader signs, and it waits until it has the key.
 */
import { TransportError } from '../../raft/transport/errors.ts';
import type { Log } from '../observe/log.ts';
import { saveCaKey } from './cluster-file.ts';
import type { Replica } from './replica.ts';

const INTERVAL_MS = 1_000;

export class CaKeyKeeper implements Disposable {
  readonly #replica: Replica;
  readonly #dataDir: string;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #busy = false;

  constructor(replica: Replica, dataDir: string, log: Log) {
    this.#replica = replica;
    this.#dataDir = dataDir;
    this.#log = log;
    this.#timer = setInterval(() => this.#wake(), INTERVAL_MS);
    replica.onChange(() => this.#wake());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #wake(): void {
    const { voters, outgoing } = this.#replica.raft.configuration;
    const votes = voters.includes(this.#replica.id) || outgoing.includes(this.#replica.id);
    // An empty configuration is a replica that does not know yet, not one that must not vote.
    if (this.#busy || voters.length === 0 || votes === (this.#replica.caKey !== null)) return;
    this.#busy = true;
    this.#settle(votes)
      .catch((error: unknown) => {
        const text = 'The CA key was not handed over.';
        if (error instanceof TransportError) this.#log.debug('ca-key-waiting', text, { err: error });
        else this.#log.error('ca-key-failed', text, { err: error });
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #settle(votes: boolean): Promise<void> {
    const caKey = votes ? await this.#replica.fetchCaKey(AbortSignal.timeout(INTERVAL_MS)) : null;
    if (votes && caKey === null) return;
    await saveCaKey(this.#dataDir, caKey);
    this.#replica.setCaKey(caKey);
    this.#log.info(
      caKey === null ? 'ca-key-deleted' : 'ca-key-received',
      caKey === null
        ? 'This host does not vote any more and has deleted the CA key.'
        : 'This host votes and keeps the CA key.',
    );
  }
}
