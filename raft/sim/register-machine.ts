/**
 * The state machine that a simulation runs when its caller brings none: a few registers, and a digest of every command in
 * order, so that one command more, less or elsewhere shows in the state for good.
 */
import { crc32 } from 'node:zlib';
import type { CommandEntry } from '../core/types.ts';
import type { StateMachine } from '../runtime/state-machine.ts';
import type { Random } from './random.ts';

const REGISTERS = 16;

export class RegisterMachine implements StateMachine<number> {
  #registers = new Uint32Array(REGISTERS);
  #digest = 0;

  /** The last four bytes go to the register that the first byte names. */
  apply(entry: CommandEntry): number {
    const bytes = Buffer.from(entry.payload);
    const register = (bytes[0] ?? 0) % REGISTERS;
    const previous = this.#registers[register] ?? 0;
    this.#registers[register] = bytes.readUInt32BE(bytes.length - 4);
    this.#digest = crc32(bytes, this.#digest);
    return previous;
  }

  /** Several pieces, made late: whoever takes them must get the state of this moment. */
  snapshot(): Iterable<Uint8Array> {
    return pieces(this.#registers.slice(), this.#digest);
  }

  restore(data: Uint8Array): void {
    const state = JSON.parse(Buffer.from(data).toString());
    this.#registers = Uint32Array.from(state.registers);
    this.#digest = state.digest;
  }

  /** `count` makes every command of a run another one. */
  static command(random: Random, count: number): Uint8Array {
    const bytes = Buffer.alloc(1 + random.integer(4, 64));
    bytes.writeUInt8(random.integer(0, REGISTERS - 1));
    bytes.writeUInt32BE(count, bytes.length - 4);
    return bytes;
  }
}

function* pieces(registers: Uint32Array, digest: number): Generator<Uint8Array> {
  yield Buffer.from(`{"digest":${digest},"registers":[`);
  for (let i = 0; i < REGISTERS; i += 4) {
    yield Buffer.from(`${registers.subarray(i, i + 4).join(',')}${i + 4 < REGISTERS ? ',' : ']}'}`);
  }
}
