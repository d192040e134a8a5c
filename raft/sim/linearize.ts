/**
 * Decides whether a history of concurrent operations could have come from one copy that does one operation at a time:
 * linearizability (Herlihy and Wing 1990). The search is that of Wing and Gong with the cache of Lowe (2017): try each
 * operation that may be next, and never look twice at the same set of operations done in the same state. Operations on
 * different keys do not touch each other, so each key is searched alone. Pure; a bound on the steps ends what is too
 * large, with an answer that is neither yes nor no.
 */

/** What the copy does. Every operation must be possible in every state; what it cannot do is a result. */
export interface Model<State, Op, Result> {
  readonly initial: State;
  readonly keyOf: (op: Op) => string;
  readonly step: (state: State, op: Op) => { readonly state: State; readonly result: Result };
  /** Equal for equal states and for no others. */
  readonly stateKey: (state: State) => string;
  readonly isSameResult: (a: Result, b: Result) => boolean;
  /** As a person would write it: `x := 3`. */
  readonly describe: (op: Op, result: Result | undefined) => string;
}

export interface Operation<Op, Result> {
  readonly client: string;
  readonly op: Op;
  /** When it was asked, on one monotonic clock for the whole history; any unit. */
  readonly calledAt: number;
  /** Null when nobody knows: it may take effect at any time after the call, or never. */
  readonly returned: { readonly at: number; readonly result: Result } | null;
}

export type Verdict =
  | { readonly kind: 'linearizable'; readonly steps: number }
  | {
      readonly kind: 'not-linearizable';
      /** Of the keys that are not, the one with the fewest operations. */
      readonly key: string;
      /** The first answer that no order explains, and what happened around it. */
      readonly explanation: string;
    }
  /** `maxSteps` were not enough for this key: nothing is known of it. */
  | { readonly kind: 'gave-up'; readonly key: string; readonly steps: number };

export const LINEARIZE_STEPS_MAX = 2_000_000;
const EXPLAINED_OPERATIONS_MAX = 12;

/** The search of each key takes at most `maxSteps` steps, and the explanation of one as many again. */
export function checkLinearizable<State, Op, Result>(
  model: Model<State, Op, Result>,
  history: readonly Operation<Op, Result>[],
  maxSteps: number = LINEARIZE_STEPS_MAX,
): Verdict {
  let steps = 0;
  let gaveUp: string | null = null;
  for (const [key, operations] of smallestFirst(model, history)) {
    const found = search(model, operations, maxSteps);
    steps += found.steps;
    if (found.kind === 'no-order')
      return { kind: 'not-linearizable', key, explanation: explain(model, operations, maxSteps) };
    if (found.kind === 'gave-up') gaveUp ??= key;
  }
  return gaveUp === null ? { kind: 'linearizable', steps } : { kind: 'gave-up', key: gaveUp, steps };
}

function smallestFirst<State, Op, Result>(
  model: Model<State, Op, Result>,
  history: readonly Operation<Op, Result>[],
): [string, Operation<Op, Result>[]][] {
  const byKey = new Map<string, Operation<Op, Result>[]>();
  for (const operation of history) {
    const key = model.keyOf(operation.op);
    const operations = byKey.get(key);
    if (operations === undefined) byKey.set(key, [operation]);
    else operations.push(operation);
  }
  return [...byKey].toSorted(([, a], [, b]) => a.length - b.length);
}

/** A set of operations that are done, the state after them, and those that may be next. */
interface Node<State> {
  readonly state: State;
  /** The operation that led here, -1 at the root. */
  readonly operation: number;
  readonly candidates: readonly number[];
  /** The next candidate to try. */
  next: number;
}

interface SearchResult {
  readonly kind: 'order-found' | 'no-order' | 'gave-up';
  readonly steps: number;
}

/** Depth first. An order is found when all operations with a known outcome are done: the others may never happen. */
function search<State, Op, Result>(
  model: Model<State, Op, Result>,
  history: readonly Operation<Op, Result>[],
  maxSteps: number,
): SearchResult {
  const operations = history.toSorted((a, b) => a.calledAt - b.calledAt);
  const pending = new PendingSet(operations);
  const seen = new Set<string>();
  const path: Node<State>[] = [
    { state: model.initial, operation: -1, candidates: pending.candidates(), next: 0 },
  ];
  let steps = 0;
  while (!pending.isKnownDone) {
    const node = path.at(-1);
    if (node === undefined) return { kind: 'no-order', steps };
    if (steps === maxSteps) return { kind: 'gave-up', steps };
    steps++;
    const index = node.candidates[node.next++];
    if (index === undefined) {
      path.pop();
      if (node.operation >= 0) pending.undo(node.operation);
      continue;
    }
    const after = tryNext(model, node.state, operations[index]);
    if (after === null) continue;
    pending.do(index);
    const known = `${pending.key()}${model.stateKey(after.state)}`;
    if (seen.has(known)) {
      pending.undo(index);
      continue;
    }
    seen.add(known);
    path.push({ state: after.state, operation: index, candidates: pending.candidates(), next: 0 });
  }
  return { kind: 'order-found', steps };
}

/**
 * Null when the operation returned something else than it would have in this state. One with an unknown outcome that
 * changes nothing may as well wait.
 */
function tryNext<State, Op, Result>(
  model: Model<State, Op, Result>,
  state: State,
  operation: Operation<Op, Result> | undefined,
): { readonly state: State } | null {
  if (operation === undefined) return null;
  const after = model.step(state, operation.op);
  const { returned } = operation;
  const fits =
    returned === null
      ? model.stateKey(after.state) !== model.stateKey(state)
      : model.isSameResult(after.result, returned.result);
  return fits ? after : null;
}

/** Which operations are not done yet. They are known by their position in the order of their calls. */
class PendingSet {
  readonly #operations: readonly Operation<unknown, unknown>[];
  /** One bit for each operation that is done. */
  readonly #done: Uint16Array;
  /** Every operation before this one is done or has an unknown outcome. */
  #first = 0;
  readonly #unknown: readonly number[];
  #knownLeft: number;

  constructor(operations: readonly Operation<unknown, unknown>[]) {
    this.#operations = operations;
    this.#done = new Uint16Array(Math.ceil(operations.length / 16));
    this.#unknown = operations.flatMap(({ returned }, index) => (returned === null ? [index] : []));
    this.#knownLeft = operations.length - this.#unknown.length;
    this.#skipDone();
  }

  get isKnownDone(): boolean {
    return this.#knownLeft === 0;
  }

  do(index: number): void {
    this.#flip(index);
    this.#skipDone();
  }

  undo(index: number): void {
    this.#flip(index);
    if (this.#isKnown(index)) this.#first = Math.min(this.#first, index);
  }

  /** The set as a string. */
  key(): string {
    return String.fromCharCode(...this.#done);
  }

  /**
   * Those that were called before any that is pending returned: all others come after that one. Unknown outcomes come
   * last: most of them never happened, or nobody saw it.
   */
  candidates(): number[] {
    const known: number[] = [];
    let firstReturn = Number.POSITIVE_INFINITY;
    for (let index = this.#first; index < this.#operations.length; index++) {
      const operation = this.#operations[index];
      if (operation === undefined || operation.calledAt > firstReturn) break;
      if (operation.returned === null || this.#isDone(index)) continue;
      known.push(index);
      firstReturn = Math.min(firstReturn, operation.returned.at);
    }
    const unknown = this.#unknown.filter((index) => {
      return !this.#isDone(index) && (this.#operations[index]?.calledAt ?? 0) <= firstReturn;
    });
    return [...known, ...unknown];
  }

  #flip(index: number): void {
    const bit = 1 << (index & 15);
    const word = (this.#done[index >> 4] ?? 0) ^ bit;
    this.#done[index >> 4] = word;
    if (this.#isKnown(index)) this.#knownLeft += (word & bit) === 0 ? 1 : -1;
  }

  #skipDone(): void {
    while (this.#first < this.#operations.length) {
      if (this.#isKnown(this.#first) && !this.#isDone(this.#first)) break;
      this.#first++;
    }
  }

  #isDone(index: number): boolean {
    return (((this.#done[index >> 4] ?? 0) >> (index & 15)) & 1) === 1;
  }

  #isKnown(index: number): boolean {
    return this.#operations[index]?.returned !== null;
  }
}

/**
 * What had returned by some time is a history of its own, and a part of one that is linearizable is, too: so there is a
 * first answer that no order explains, and halving finds it.
 */
function explain<State, Op, Result>(
  model: Model<State, Op, Result>,
  operations: readonly Operation<Op, Result>[],
  maxSteps: number,
): string {
  const returns = operations
    .flatMap(({ returned }) => (returned === null ? [] : [returned.at]))
    .toSorted((a, b) => a - b);
  let steps = 0;
  let explained = 0;
  let unexplained = returns.length;
  while (unexplained - explained > 1) {
    const middle = (explained + unexplained) >> 1;
    const result = search(model, upTo(operations, returns[middle - 1] ?? 0), maxSteps - steps);
    steps += result.steps;
    if (result.kind === 'gave-up') break;
    if (result.kind === 'order-found') explained = middle;
    else unexplained = middle;
  }
  const at = returns[unexplained - 1] ?? 0;
  const culprits = operations.filter(({ returned }) => returned?.at === at);
  const others = upTo(operations, at).filter((operation) => !culprits.includes(operation));
  const lines = others
    .toSorted((a, b) => a.calledAt - b.calledAt)
    .slice(-EXPLAINED_OPERATIONS_MAX)
    .map((operation) => describe(model, operation));
  return [
    'no order of the operations explains',
    ...culprits.map((operation) => `  ${describe(model, operation)}`),
    'with these before it or at the same time',
    ...lines.map((line) => `  ${line}`),
  ].join('\n');
}

/** The history as it was known at that time. */
function upTo<Op, Result>(
  operations: readonly Operation<Op, Result>[],
  time: number,
): readonly Operation<Op, Result>[] {
  return operations
    .filter(({ calledAt }) => calledAt <= time)
    .map((operation) => {
      const { returned } = operation;
      return returned !== null && returned.at > time ? { ...operation, returned: null } : operation;
    });
}

function describe<State, Op, Result>(
  model: Model<State, Op, Result>,
  { client, op, calledAt, returned }: Operation<Op, Result>,
): string {
  const until = returned === null ? 'unknown' : `${returned.at}`;
  return `[${calledAt}, ${until}] ${client}: ${model.describe(op, returned?.result)}`;
}
