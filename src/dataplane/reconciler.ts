/**
 * The one loop that brings the kernel to the desired state and keeps it there: dirty, read, delta, plan, apply. A new
 * desired state, a kernel event that concerns it, a failed operation and the periodic resync mark dirty; whatever
 * comes while a pass runs is one more pass. Nothing is written before the first desired state, and close() leaves
 * everything in place: the data plane does not need this process. Somebody who removes what is ours again and again
 * is answered at a bounded rate, and reported; so is somebody whose route is used in place of ours.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Cidr, cidrBase } from '../net/cidr.ts';
import type { Problem } from '../observe/agent-facts.ts';
import { type Delta, delta } from './delta.ts';
import { type DesiredState, NOTHING_DESIRED, type Route } from './desired-state.ts';
import {
  type ActualRoute,
  type Kernel,
  KernelError,
  type KernelEvent,
  type Op,
  type OpFailure,
} from './kernel.ts';
import { MAIN_TABLE, ROUTE_PROTOCOL } from './ownership.ts';
import { plan } from './plan.ts';
import {
  conflictProblems,
  contestedProblem,
  describe,
  failureProblems,
  routeConflictProblems,
  unreachableProblem,
} from './problems.ts';
import { Relevance } from './relevance.ts';
import { Repairs } from './repairs.ts';
import { Rivals } from './rivals.ts';
import { Throttle } from './throttle.ts';

/** Catches what no event told. */
const RESYNC_MS = 30_000;
/** Destinations that the kernel is asked for at once, and at each resync: some milliseconds. */
const SURVEY_SLICE = 128;
/** After a pass events wait this many times the CPU it took: a quarter of a core, wherever a pass is dear. On a host
 *  with half a million routes the kernel takes 80 ms to list ours. */
const REST_TIMES = 3;
/** Events of one cause come in a burst. */
const SETTLE_MS = 1;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 30_000;
/** Passes that events may cause: a burst of honest changes at once, then what costs less than a few percent of a core. */
const EVENT_PASSES_BURST = 50;
const EVENT_PASSES_PER_SECOND = 20;

export interface ReconcilerOptions {
  readonly kernel: Kernel;
  readonly nodeId: string;
  /** After each pass. */
  readonly onPass?: () => void;
}

/** As of the last pass. Routes are those to peers: neither the unreachable one of the whole network nor the probes'. */
export interface ReconcilerStats {
  readonly desired: number;
  readonly installed: number;
  /** Things put back since the start. */
  readonly repaired: number;
  /** Destinations for which somebody else's route is used. */
  readonly foreign: readonly Cidr[];
  /** Wall clock, for display only. */
  readonly lastSyncAt: Date | null;
  readonly problems: readonly Problem[];
}

export class Reconciler implements AsyncDisposable {
  /** Resolves after the first whole pass: the kernel was read and everything was tried. What failed is in `stats`. */
  readonly synced: Promise<void>;
  readonly #options: ReconcilerOptions;
  readonly #throttle = new Throttle(EVENT_PASSES_BURST, EVENT_PASSES_PER_SECOND);
  readonly #repairs = new Repairs();
  readonly #rivals = new Rivals();
  readonly #stopListening: () => void;
  #resolveSynced: () => void = () => undefined;
  #desired: DesiredState | null = null;
  #relevance = new Relevance(NOTHING_DESIRED);
  #last: Pass | null = null;
  /** Of a pass that could not be made. */
  #unreachable: KernelError | null = null;
  #retryMs = RETRY_MS_MIN;
  #running: Promise<void> | null = null;
  /** The end of the last survey that was begun. */
  #surveying: Promise<void> = Promise.resolve();
  #surveyedAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  /** When the next pass starts; infinite while nothing is planned. */
  #dueAtMs = Number.POSITIVE_INFINITY;
  #eventPassPlanned = false;
  /** No pass for an event before this. */
  #restUntilMs = 0;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
    this.#stopListening = options.kernel.onEvent((event) => this.#onEvent(event));
  }

  get stats(): ReconcilerStats {
    const desired = (this.#desired ?? NOTHING_DESIRED).routes.filter(leadsToPeer);
    const contested = this.#repairs.contested(performance.now());
    return {
      desired: desired.length,
      installed: desired.filter(({ dst }) => this.isInstalled(dst)).length,
      repaired: this.#repairs.total,
      foreign: [...this.rivals.keys()],
      lastSyncAt: this.#last?.at ?? null,
      problems: [
        ...(this.#unreachable === null ? [] : [unreachableProblem(this.#unreachable)]),
        ...(this.#last?.problems ?? []),
        ...(contested.length === 0 ? [] : [contestedProblem(contested)]),
      ],
    };
  }

  /** Whose routes are used in place of ours, by destination; null where the kernel does not name them. */
  get rivals(): ReadonlyMap<Cidr, ActualRoute | null> {
    const keptOut = this.#last?.keptOut ?? [];
    return new Map([...keptOut.map((dst) => [dst, null] as const), ...this.#rivals.found]);
  }

  /** Whether the desired route to `dst` was in the kernel after the last pass. */
  isInstalled(dst: Cidr): boolean {
    return this.#last?.installed.has(dst) ?? false;
  }

  /** The whole of it; the same again costs nothing, and ends no pause before a retry. */
  setDesired(desired: DesiredState): void {
    if (isDeepStrictEqual(desired, this.#desired)) return;
    this.#desired = desired;
    this.#relevance = new Relevance(desired);
    this.#rivals.setDesired(desired.routes);
    this.#options.kernel.concern('reconciler', this.#relevance.networks);
    this.#retryMs = RETRY_MS_MIN;
    this.#schedule(0);
  }

  /** One whole pass that begins after this call, and what it makes doubtful asked. */
  async sync(): Promise<void> {
    while (this.#running !== null) await this.#running;
    this.#start();
    await this.#running;
    await this.#surveying;
  }

  /** Takes everything of ours out of the kernel; resolves with what could not be removed. Rejects with a KernelError. */
  async removeAll(): Promise<readonly OpFailure[]> {
    this.setDesired(NOTHING_DESIRED);
    await this.sync();
    if (this.#unreachable !== null) throw this.#unreachable;
    return this.#last?.refused ?? [];
  }

  /** Resolves when a pass that runs has ended. The kernel keeps what it has. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
    await this.#surveying;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #onEvent(event: KernelEvent): void {
    // Anybody's rule may lead packets past our routes; the next survey sees it.
    if (event.kind === 'overflow' || event.kind === 'rule') this.#rivals.suspectAll();
    if (this.#desired === null || !this.#relevance.concerns(event)) return;
    if (event.kind === 'route' && event.protocol !== ROUTE_PROTOCOL) this.#rivals.suspect(event.dst);
    if (this.#eventPassPlanned) return;
    this.#eventPassPlanned = true;
    const nowMs = performance.now();
    this.#schedule(Math.max(SETTLE_MS, this.#throttle.take(nowMs), this.#restUntilMs - nowMs));
  }

  #schedule(delayMs: number): void {
    const dueAtMs = performance.now() + delayMs;
    if (this.#desired === null || dueAtMs >= this.#dueAtMs) return;
    this.#dueAtMs = dueAtMs;
    // A pass that runs arms the timer when it ends.
    if (this.#running === null) this.#arm();
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#closed || this.#dueAtMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#start(), Math.max(0, this.#dueAtMs - performance.now()));
  }

  #start(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#eventPassPlanned = false;
    this.#running = this.#pass(this.#desired ?? NOTHING_DESIRED).finally(() => {
      this.#running = null;
      this.#arm();
    });
  }

  async #pass(desired: DesiredState): Promise<void> {
    const { kernel, nodeId, onPass } = this.#options;
    const before = process.cpuUsage();
    try {
      const difference = delta(desired, await kernel.read(), nodeId);
      const ops = plan(difference, nodeId);
      const failures = ops.length === 0 ? [] : await kernel.apply(ops);
      this.#account(desired, difference, ops, failures);
      this.#unreachable = null;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#unreachable = error;
    }
    const { user, system } = process.cpuUsage(before);
    this.#restUntilMs = performance.now() + (REST_TIMES * (user + system)) / 1000;
    const well = this.#unreachable === null && this.#last?.refused.length === 0;
    this.#schedule(well ? RESYNC_MS : this.#retryMs);
    this.#retryMs = well ? RETRY_MS_MIN : Math.min(2 * this.#retryMs, RETRY_MS_MAX);
    if (this.#unreachable === null) this.#resolveSynced();
    onPass?.();
    this.#surveying = this.#surveying.then(() => this.#survey());
  }

  /** Asks in slices, so that a pass that is due meanwhile does not wait for it. */
  async #survey(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#surveyedAtMs >= RESYNC_MS) {
      this.#surveyedAtMs = nowMs;
      this.#rivals.suspectSome(SURVEY_SLICE);
    }
    const before = [...this.#rivals.found.keys()].join();
    for (let slice = this.#rivals.take(SURVEY_SLICE); slice.length > 0 && !this.#closed; ) {
      try {
        const used = await this.#options.kernel.match(slice.map(cidrBase));
        for (const [place, dst] of slice.entries())
          this.#rivals.record(dst, used[place] ?? null, this.isInstalled(dst));
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        // Nobody is named for a while; the next passes meet the same kernel and report it.
        return;
      }
      slice = this.#rivals.take(SURVEY_SLICE);
    }
    if ([...this.#rivals.found.keys()].join() !== before) this.#options.onPass?.();
  }

  #account(
    desired: DesiredState,
    difference: Delta,
    ops: readonly Op[],
    failures: readonly OpFailure[],
  ): void {
    const absent = absentRoutes(desired, difference, failures);
    const refused = failures.filter((failure) => !isKeptOut(failure));
    const keptOut = failures
      .filter(isKeptOut)
      .flatMap(({ op }) => (op.kind === 'route-add' ? [op.route] : []));
    for (const { dst } of keptOut) this.#rivals.suspect(dst);
    const failed = new Set(failures.map(({ op }) => op));
    const previous = this.#last?.desired === desired ? this.#last : null;
    // Only what was in place, for the same desired state, can have been damaged.
    const wasInPlace = (op: Op): boolean => previous?.neverInPlace.has(describe(op)) === false;
    const repaired = ops.filter((op) => puts(op) && !failed.has(op) && wasInPlace(op)).map(describe);
    this.#repairs.record(repaired, performance.now());
    this.#last = {
      desired,
      at: new Date(),
      installed: new Set(
        desired.routes
          .filter(leadsToPeer)
          .map(({ dst }) => dst)
          .filter((dst) => !absent.has(dst)),
      ),
      keptOut: keptOut.filter(leadsToPeer).map(({ dst }) => dst),
      refused,
      neverInPlace: new Set([...failed].filter((op) => !wasInPlace(op)).map(describe)),
      problems: [
        ...conflictProblems(difference.conflicts),
        ...routeConflictProblems(keptOut),
        ...failureProblems(refused),
      ],
    };
  }
}

/** What one pass left behind. */
interface Pass {
  readonly desired: DesiredState;
  readonly at: Date;
  readonly installed: ReadonlySet<Cidr>;
  /** Destinations of ours where somebody else's route has our metric. */
  readonly keptOut: readonly Cidr[];
  readonly refused: readonly OpFailure[];
  /** Refused ever since this state is desired. */
  readonly neverInPlace: ReadonlySet<string>;
  readonly problems: readonly Problem[];
}

function leadsToPeer({ type, table }: Route): boolean {
  return type === 'unicast' && table === MAIN_TABLE;
}

/** By a route with the same destination and metric, which is none of ours: the pass would have found it. */
function isKeptOut({ op, code }: OpFailure): boolean {
  return op.kind === 'route-add' && code === 'EEXIST';
}

/** Puts something in place, rather than taking something away. */
function puts({ kind }: Op): boolean {
  return !kind.endsWith('-delete');
}

function absentRoutes(
  desired: DesiredState,
  { conflicts }: Delta,
  failures: readonly OpFailure[],
): ReadonlySet<Cidr> {
  const refused = failures.flatMap(({ op }) =>
    op.kind === 'route-add' || op.kind === 'route-replace' ? [op.route] : [],
  );
  const keptOut = conflicts.flatMap(({ device }) =>
    desired.routes.filter(({ iface }) => iface === device.name),
  );
  return new Set([...refused, ...keptOut].filter(leadsToPeer).map(({ dst }) => dst));
}
