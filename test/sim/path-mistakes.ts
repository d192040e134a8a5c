/**
 * Mistakes in the choice of paths, each as a change of one line of the compiled module. `find` stands exactly once in
 * the file: a line that has changed since makes its mistake fail loudly instead of proving nothing.
 */
export interface PathMistake {
  readonly name: string;
  /** Below dist/src/path. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const PATH_MISTAKES: readonly PathMistake[] = [
  {
    name: 'a dead path is never left',
    file: 'selection.js',
    find: 'return answered !== null && lastLostSentMs >= answered;',
    replace: 'return false;',
  },
  {
    name: 'a return without proof',
    file: 'selection.js',
    find: 'return direct.provenForMs(nowMs) >= RETURN_PROOF_MS && direct.answers >= RETURN_ANSWERS;',
    replace: 'return true;',
  },
  {
    name: 'a return as often as there is proof',
    file: 'selection.js',
    find: 'nowMs - before.returnedAtMs < RETURN_PAUSE_MS',
    replace: 'nowMs < before.returnedAtMs',
  },
  {
    name: 'a path that a policy silences is not taken by the lookup',
    file: 'selection.js',
    find: "return !before.failedBefore && direct.state === 'dead'",
    replace: "return false && direct.state === 'dead'",
  },
  {
    name: 'a restart forgets what is in the kernel',
    file: 'path-table.js',
    find: 'firstSelected(inKernel.get(target.subnet) ?? null, nowMs)',
    replace: 'firstSelected(null, nowMs)',
  },
  {
    name: 'one lost probe is a dead path',
    file: 'evidence.js',
    find: 'if (this.#row.length >= this.#rowOfDeath())',
    replace: 'if (this.#row.length >= 1)',
  },
  {
    name: 'a row of losses never ends',
    file: 'evidence.js',
    find: 'this.#row = this.#row.filter((lost) => lost > sentMs);',
    replace: '',
  },
  {
    name: 'nobody asks the other path when the used one falls silent',
    file: 'pace.js',
    find: 'otherWay.candidate.possible ? otherWay.evidence : null',
    replace: 'null',
  },
  {
    name: 'probes without a bound',
    file: 'probe-budget.js',
    find: 'else\n            return false;',
    replace: '',
  },
  {
    name: 'what a search found is not used',
    file: 'path-mtu.js',
    find: 'return this.#limit ?? this.#linkMtu;',
    replace: 'return this.#linkMtu;',
  },
];
