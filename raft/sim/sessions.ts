/**
 * Who has shaken hands with whom. Messages pass only between two lives of replicas that have, and a handshake compares
 * where each one's disk stands with what the other has seen of it, as the transport does it: whoever stands lower lost
 * writes that it gave its word for, because its directory was put back to an older copy, and is refused.
 */
import { isBehind } from '../transport/witness.ts';
import type { SimulatedReplica } from './replica.ts';

export class Sessions {
  readonly #open = new Set<string>();
  readonly #refused: (replica: SimulatedReplica) => void;

  constructor(refused: (replica: SimulatedReplica) => void) {
    this.#refused = refused;
  }

  /** Whether what `from` sent in that life reaches `to`. What an ended life sealed nobody can open without a session. */
  connect(from: SimulatedReplica, life: number, to: SimulatedReplica): boolean {
    const session = `${from.id}.${life} ${to.id}.${to.life}`;
    if (this.#open.has(session)) return true;
    if (!from.isUp || from.life !== life || !to.isUp) return false;
    const outdated = [from, to].find((one) => isOutdated(one, one === from ? to : from));
    if (outdated !== undefined) {
      this.#refused(outdated);
      return false;
    }
    this.#open.add(session);
    this.#open.add(`${to.id}.${to.life} ${from.id}.${life}`);
    return true;
  }
}

function isOutdated(replica: SimulatedReplica, peer: SimulatedReplica): boolean {
  return isBehind(replica.disk.position, peer.seen(replica.id));
}
