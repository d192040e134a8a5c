/** A key-value store on top of the library, small enough to be obviously right: what the histories are made with. */
import { createHash } from 'node:crypto';
import type { CommandEntry } from '../../raft/core/types.ts';
import type { StateMachine } from '../../raft/runtime/state-machine.ts';
import type { KeyValueOp, KeyValueResult, Value } from '../../raft/sim/key-value-model.ts';

export function encodeOp(op: KeyValueOp): Uint8Array {
  return Buffer.from(JSON.stringify(op));
}

export class KeyValueMachine implements StateMachine<KeyValueResult> {
  #values = new Map<string, number>();

  apply({ payload }: CommandEntry): KeyValueResult {
    const op: KeyValueOp = JSON.parse(Buffer.from(payload).toString());
    const value = this.get(op.key);
    switch (op.kind) {
      case 'put':
        this.#values.set(op.key, op.value);
        return null;
      case 'cas':
        if (value !== op.expected) return false;
        this.#values.set(op.key, op.value);
        return true;
      case 'add':
        this.#values.set(op.key, (value ?? 0) + 1);
        return (value ?? 0) + 1;
      case 'get':
        return value;
    }
  }

  get(key: string): Value {
    return this.#values.get(key) ?? null;
  }

  snapshot(): Iterable<Uint8Array> {
    return [Buffer.from(JSON.stringify([...this.#values]))];
  }

  restore(data: Uint8Array): void {
    this.#values = new Map(JSON.parse(Buffer.from(data).toString()));
  }

  /** Equal for equal states. The order of the keys is the order of their first writes, the same everywhere. */
  digest(): string {
    const hash = createHash('sha256');
    for (const piece of this.snapshot()) hash.update(piece);
    return hash.digest('hex');
  }
}
