/**
 * The model of one key of a key-value store, for histories of programs that keep one on top of the library: a register
 * that is written, compared and set, counted up, and read.
 */
import type { Model } from './linearize.ts';

/** Null: it was never written. */
export type Value = number | null;

export type KeyValueOp =
  | { readonly kind: 'put'; readonly key: string; readonly value: number }
  /** Writes only where `expected` is; the result says whether it did. */
  | { readonly kind: 'cas'; readonly key: string; readonly expected: Value; readonly value: number }
  /** Counts up by one, from nothing to one; the result is the new value. */
  | { readonly kind: 'add'; readonly key: string }
  | { readonly kind: 'get'; readonly key: string };

/** Of a put null, of a cas whether it wrote, of an add and a get the value. */
export type KeyValueResult = Value | boolean;

export const keyValueModel: Model<Value, KeyValueOp, KeyValueResult> = {
  initial: null,
  keyOf: ({ key }) => key,
  step: (state, op) => {
    switch (op.kind) {
      case 'put':
        return { state: op.value, result: null };
      case 'cas':
        return state === op.expected ? { state: op.value, result: true } : { state, result: false };
      case 'add':
        return { state: (state ?? 0) + 1, result: (state ?? 0) + 1 };
      case 'get':
        return { state, result: state };
    }
  },
  stateKey: String,
  isSameResult: (a, b) => a === b,
  describe: (op, result) => `${describeOp(op)}${result === undefined ? '' : ` -> ${result}`}`,
};

function describeOp(op: KeyValueOp): string {
  switch (op.kind) {
    case 'put':
      return `put ${op.key} ${op.value}`;
    case 'cas':
      return `cas ${op.key} ${op.expected} ${op.value}`;
    default:
      return `${op.kind} ${op.key}`;
  }
}
