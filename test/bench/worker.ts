/**
 * A process of its own that answers calls of the bench, as JSON over the channel that `fork` gives. Both ends are here,
 * so that a call and its answer have one type.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a kind of worker can be asked: the parameter and the result of each call. */
export type Calls = { readonly [method: string]: (parameter: never) => unknown };

type Parameter<C extends Calls, M extends keyof C> = Parameters<C[M]>[0];
type Result<C extends Calls, M extends keyof C> = Awaited<ReturnType<C[M]>>;

interface Request {
  readonly id: number;
  readonly method: string;
  readonly parameter: never;
}

interface Response {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

export class Worker<C extends Calls> {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<unknown>;
  #nextId = 0;

  /** `script` is the name of a file of this directory, `nodeArguments` go to node. */
  constructor(script: string, nodeArguments: readonly string[] = []) {
    const path = fileURLToPath(new URL(`./${script}.js`, import.meta.url));
    this.#child = fork(path, {
      execArgv: [...process.execArgv, ...nodeArguments],
      stdio: ['ignore', 2, 2, 'ipc'],
    });
    this.#child.on('message', (text) => this.#settle(JSON.parse(String(text))));
    this.#exited = once(this.#child, 'exit').then(() => {
      for (const { reject } of this.#pending.values())
        reject(new Error(`${script} ended before it answered`));
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process was not started');
    return this.#child.pid;
  }

  call<M extends keyof C & string>(method: M, parameter: Parameter<C, M>): Promise<Result<C, M>> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.send(JSON.stringify({ id, method, parameter }));
    });
  }

  /** As a power failure would: nothing is flushed, nobody is told. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#exited;
  }

  #settle(response: Response): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if (response.error === undefined) pending?.resolve(response.result as never);
    else pending?.reject(new Error(response.error));
  }
}

/** The other end: in the process that was started, which does not outlive the one that started it. */
export function serve<C extends Calls>(calls: C): void {
  process.on('disconnect', () => process.exit());
  process.on('message', (text) => {
    const { id, method, parameter }: Request = JSON.parse(String(text));
    answer(calls[method], parameter).then(
      (result) => process.send?.(JSON.stringify({ id, result: result ?? null })),
      (error: unknown) => process.send?.(JSON.stringify({ id, error: String(error) })),
    );
  });
}

async function answer(call: Calls[string] | undefined, parameter: never): Promise<unknown> {
  if (call === undefined) throw new Error('no such call');
  return await call(parameter);
}
