/** The verdict on a history as one string, so that a failed expectation shows why. */
import { type KeyValueOp, type KeyValueResult, keyValueModel } from '../../raft/sim/key-value-model.ts';
import { checkLinearizable, type Operation } from '../../raft/sim/linearize.ts';

/** `linearizable`, or what is wrong with which key. */
export function verdictOn(history: readonly Operation<KeyValueOp, KeyValueResult>[]): string {
  const verdict = checkLinearizable(keyValueModel, history);
  switch (verdict.kind) {
    case 'linearizable':
      return verdict.kind;
    case 'not-linearizable':
      return `key ${verdict.key} is not linearizable: ${verdict.explanation}`;
    case 'gave-up':
      return `gave up on key ${verdict.key} after ${verdict.steps} steps`;
  }
}
