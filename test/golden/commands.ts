/**
 * The commands of a scenario: what each line does to the world. `<messages>` are those under way: `1>2`, `1>` (all from 1)
 * or `>2` (all to 2), followed by their kind if only that is meant, and after `first` for the first of them; nothing for all.
 *
 *     options <name>=<number> ...         settings of the core, before the first replica
 *     start <configuration>               a replica for each member, with that configuration as the first entry, committed
 *     replica <id> ...                    one replica with a disk of its own: see `#addReplica`
 *     tick <id>                           its next timer runs out
 *     tick <id> ... for <ms>              all their timers that run out in that time, the first one first
 *     run <id> ... for <ms>               as tick, and everything is delivered after each
 *     wait <ms>                           time passes, no timer runs out
 *     deliver | drop <messages>           in the order of sending; what they cause stays under way
 *     keep | copy <name> <messages>       takes them out of the network, or copies them, to be replayed later
 *     replay <name>                       delivers them; as often as wanted
 *     garble <messages>                   changes a byte of each snapshot chunk among them
 *     send <from>><to> <first>..<last>    an append with these entries of its log, as any leader may send it
 *     stabilize                           delivers everything until nothing is under way
 *     cut <a>-<b> | <a>><b> ...           both ways or one; what is sent there is lost
 *     isolate <id> ... | heal             cuts from everybody else; ends every cut
 *     hold | write | unhold <id>          its disk completes nothing by itself; one write; everything again
 *     crash | restart <id> ...
 *     propose <id> <command> ...          all in one turn
 *     change <id> <configuration>
 *     compact <id> ...                    takes a snapshot of what is applied
 *     read <id>                           asks for a read index
 *     transfer <id> <target>
 *     status | progress | disk | terms [<id> ...]
 *     lead <id>                           quietly: its timeout runs out, and everything is delivered until it leads
 *     elect <id>                          quietly: the same, and everything after that
 *     quietly <command>                   without output
 */
import type { Message } from '../../raft/core/messages.ts';
import type { RaftOptions } from '../../raft/core/options.ts';
import {
  type Configuration,
  type Entry,
  type ReplicaId,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '../../raft/core/types.ts';
import {
  parseConfiguration,
  showConfiguration,
  showEntries,
  showHardState,
  showId,
  showSnapshotMeta,
  utf8,
} from './notation.ts';
import { snapshotOf, World } from './world.ts';

type Command = (words: readonly string[]) => void;

export class Scenario {
  #world = new World();
  readonly #kept = new Map<string, readonly Message[]>();

  /** The trace of one line. */
  run(line: string): string[] {
    // A configuration is one word.
    const [verb = '', ...words] = line.match(/\{[^}]*\}\S*|\S+/g) ?? [];
    if (verb === 'quietly') {
      this.run(words.join(' '));
      return [];
    }
    const command = this.#commands[verb];
    if (command === undefined) throw new Error(`there is no command ${verb}`);
    command(words);
    return this.#world.takeTrace();
  }

  readonly #commands: Readonly<Record<string, Command>> = {
    options: (words) => {
      this.#world = new World(parseOptions(words));
    },
    start: ([word = '']) => this.#start(configurationOf(word)),
    replica: ([word = '', ...words]) => this.#addReplica(replicaId(word), words),
    send: ([link = '', range = '']) => this.#sendSlice(link, range),
    tick: (words) => this.#tick(words, () => {}),
    run: (words) => this.#tick(words, () => this.#stabilize()),
    wait: ([ms]) => {
      this.#world.now += Number(ms);
    },
    deliver: (words) => this.#deliver(this.#world.take(this.#select(words))),
    drop: (words) => {
      for (const { from, to, kind } of this.#world.take(this.#select(words))) {
        this.#world.say(`${from}>${to} ${kind} is lost`);
      }
    },
    keep: ([name = '', ...words]) => this.#keep(name, this.#world.take(this.#select(words))),
    copy: ([name = '', ...words]) => this.#keep(name, this.#select(words)),
    replay: ([name = '']) => this.#deliver(this.#kept.get(name) ?? []),
    garble: (words) => this.#garble(this.#select(words)),
    stabilize: () => this.#stabilize(),
    cut: (words) => {
      for (const word of words) this.#cut(word);
    },
    isolate: (words) => {
      const ids = words.map(replicaId);
      for (const id of ids)
        for (const other of this.#world.replicas.keys()) if (id !== other) this.#cutBoth(id, other);
    },
    heal: () => this.#world.heal(),
    hold: (words) => this.#each(words, (id) => this.#world.hold(id)),
    write: (words) => this.#each(words, (id) => this.#world.write(id)),
    unhold: (words) => this.#each(words, (id) => this.#world.unhold(id)),
    crash: (words) => this.#each(words, (id) => this.#world.crash(id)),
    restart: (words) => this.#each(words, (id) => this.#world.restart(id)),
    propose: ([id = '', ...payloads]) => this.#propose(replicaId(id), payloads),
    change: ([id = '', target = '']) => this.#change(replicaId(id), configurationOf(target)),
    compact: (words) =>
      this.#each(words, (id) => {
        const replica = this.#world.replica(id);
        this.#world.step(id, (core) => core.compact(snapshotOf(replica, core)));
      }),
    read: ([word = '']) => this.#read(replicaId(word)),
    transfer: ([from = '', to = '']) => this.#transfer(replicaId(from), replicaId(to)),
    status: (words) => this.#each(words, (id) => this.#status(id)),
    progress: (words) => this.#each(words, (id) => this.#progress(id)),
    disk: (words) => this.#each(words, (id) => this.#disk(id)),
    terms: (words) =>
      this.#each(words, (id) => {
        const { entries } = this.#world.replica(id).disk;
        this.#world.say(`${id}: ${entries.map(({ term }) => term).join(' ')}`);
      }),
    lead: ([word = '']) => this.#lead(replicaId(word)),
    elect: ([word = '']) => this.#elect(replicaId(word)),
  };

  /** No ids: every replica. */
  #each(words: readonly string[], run: (id: ReplicaId) => void): void {
    const ids = words.length > 0 ? words.map(replicaId) : [...this.#world.replicas.keys()];
    for (const id of ids) run(id);
  }

  #start(configuration: Configuration): void {
    const first = { term: toTerm(1), index: toLogIndex(1) };
    const hardState = { term: first.term, vote: null, commit: first.index };
    const { voters, outgoing, learners } = configuration;
    for (const id of new Set([...voters, ...outgoing, ...learners])) {
      const entries: Entry[] = [{ ...first, kind: 'configuration', configuration }];
      this.#world.add(id, { hardState, snapshot: null, entries });
    }
    this.#world.takeTrace();
  }

  /**
   * `replica 3 term 4 vote 2 commit 1 log {1 2 3}@1 1 2`: an entry is a term, or a configuration and its term. What is
   * not said is none. `replica 3` has an empty disk.
   */
  #addReplica(id: ReplicaId, words: readonly string[]): void {
    const after = (name: string): number => {
      const at = words.indexOf(name);
      return at === -1 ? 0 : Number(words[at + 1]);
    };
    const log = words.includes('log') ? words.slice(words.indexOf('log') + 1) : [];
    const vote = after('vote');
    const hardState = {
      term: toTerm(after('term')),
      vote: vote === 0 ? null : toReplicaId(vote),
      commit: toLogIndex(after('commit')),
    };
    this.#world.add(id, { hardState, snapshot: null, entries: log.map(parseEntry) });
    this.#world.takeTrace();
  }

  #sendSlice(link: string, range: string): void {
    const [from = '', to = ''] = link.split('>');
    const [first, last] = range.split('..').map(Number);
    const { disk, core } = this.#world.replica(replicaId(from));
    const prev = disk.entries.find(({ index }) => index + 1 === first);
    const entries = disk.entries.filter(({ index }) => index >= Number(first) && index <= Number(last));
    if (prev === undefined || core === null) throw new Error(`replica ${from} cannot send ${range}`);
    const { term, commit } = core.status;
    const ends = { from: replicaId(from), to: replicaId(to) };
    const append = { kind: 'append-request', ...ends, term, prev, entries, commit } as const;
    this.#world.deliver(append);
  }

  /** `<id>`, or `<id> ... for <ms>` */
  #tick(words: readonly string[], afterEach: () => void): void {
    const world = this.#world;
    const ids = words.slice(0, words.includes('for') ? words.indexOf('for') : 1).map(replicaId);
    if (!words.includes('for')) {
      for (const id of ids) if (!world.tick(id)) world.say(`${id} waits for no timer`);
      return;
    }
    const end = world.now + Number(words.at(-1));
    const deadline = (id: ReplicaId): number => world.core(id).deadline();
    for (;;) {
      const [first] = ids.toSorted((a, b) => deadline(a) - deadline(b));
      if (first === undefined || !world.tick(first, end)) break;
      afterEach();
    }
    world.now = end;
  }

  /** `[first] [<link> [<kind>]]` */
  #select(words: readonly string[]): readonly Message[] {
    const onlyFirst = words[0] === 'first';
    const [link = '>', kind] = onlyFirst ? words.slice(1) : words;
    const [from = '', to = ''] = link.split('>');
    const selected = this.#world.inFlight.filter(
      (message) =>
        (from === '' || message.from === Number(from)) &&
        (to === '' || message.to === Number(to)) &&
        (kind === undefined || message.kind === kind),
    );
    return onlyFirst ? selected.slice(0, 1) : selected;
  }

  #deliver(messages: readonly Message[]): void {
    for (const message of messages) this.#world.deliver(message);
  }

  #keep(name: string, messages: readonly Message[]): void {
    if (messages.length === 0) throw new Error(`nothing under way is to be kept as ${name}`);
    this.#kept.set(name, messages);
  }

  #garble(messages: readonly Message[]): void {
    this.#world.inFlight = this.#world.inFlight.map((message) => {
      if (!messages.includes(message) || message.kind !== 'snapshot-chunk') return message;
      return { ...message, data: message.data.map((byte, i) => (i === 0 ? byte ^ 1 : byte)) };
    });
  }

  #stabilize(): void {
    while (this.#world.inFlight.length > 0) this.#deliver(this.#world.take(this.#world.inFlight));
  }

  #cut(word: string): void {
    const [from = '', to = ''] = word.split(/[->]/);
    if (word.includes('-')) this.#cutBoth(replicaId(from), replicaId(to));
    else this.#world.cut(replicaId(from), replicaId(to));
  }

  #cutBoth(a: ReplicaId, b: ReplicaId): void {
    this.#world.cut(a, b);
    this.#world.cut(b, a);
  }

  #propose(id: ReplicaId, payloads: readonly string[]): void {
    const results = this.#world.step(id, (core) =>
      payloads.map((payload) => core.propose(utf8(payload), this.#world.now)),
    );
    for (const result of results)
      if (result.kind !== 'appended') this.#world.say(`${id} refuses: ${result.kind}`);
  }

  #change(id: ReplicaId, { voters, learners }: Configuration): void {
    const result = this.#world.step(id, (core) =>
      core.changeConfiguration({ voters, learners }, this.#world.now),
    );
    if (result.kind === 'appended') return;
    this.#world.say(`${id} refuses: ${result.kind === 'invalid' ? result.reason : result.kind}`);
  }

  #read(id: ReplicaId): void {
    const result = this.#world.core(id).readIndex(this.#world.now);
    this.#world.say(
      result.kind === 'pending' ? `${id} read ${result.id} waits` : `${id} refuses: ${result.kind}`,
    );
    this.#world.step(id, () => {});
  }

  #transfer(id: ReplicaId, target: ReplicaId): void {
    const result = this.#world.step(id, (core) => core.transferLeadership(target, this.#world.now));
    if (result.kind === 'started') return;
    this.#world.say(`${id} refuses: ${result.kind === 'invalid' ? result.reason : result.kind}`);
  }

  #status(id: ReplicaId): void {
    const { core } = this.#world.replica(id);
    if (core === null) {
      this.#world.say(`${id} down`);
      return;
    }
    const { role, term, leader, commit, last, configuration } = core.status;
    const under = role === 'leader' || leader === null ? '' : ` under ${leader}`;
    const rest = `commit ${commit} last ${showId(last)} ${showConfiguration(configuration)}`;
    this.#world.say(`${id} ${role} t${term}${under} ${rest}`);
  }

  #progress(id: ReplicaId): void {
    for (const [peer, { match, state }] of this.#world.core(id).status.progress) {
      this.#world.say(`${peer} ${state} match ${match}`);
    }
  }

  #disk(id: ReplicaId): void {
    const { hardState, snapshot, entries } = this.#world.replica(id).disk;
    const covered = snapshot === null ? '' : `, snapshot ${showSnapshotMeta(snapshot.meta)}`;
    this.#world.say(`${id} ${showHardState(hardState)}${covered}, ${showEntries(entries)}`);
  }

  #elect(id: ReplicaId): void {
    this.#lead(id);
    this.#stabilize();
    this.#world.takeTrace();
  }

  #lead(id: ReplicaId): void {
    this.#world.tick(id);
    while (this.#world.core(id).status.role !== 'leader') {
      if (this.#world.inFlight.length === 0) throw new Error(`replica ${id} is not elected`);
      this.#deliver(this.#world.take(this.#world.inFlight));
    }
    this.#world.takeTrace();
  }
}

function replicaId(word: string): ReplicaId {
  return toReplicaId(Number(word));
}

function configurationOf(word: string): Configuration {
  const configuration = parseConfiguration(word);
  if (configuration === null) throw new Error(`${word} is no configuration`);
  return configuration;
}

function parseOptions(words: readonly string[]): Partial<RaftOptions> {
  return Object.fromEntries(
    words.map((word) => {
      const [name = '', value] = word.split('=');
      return [name, Number(value)];
    }),
  );
}

function parseEntry(word: string, position: number): Entry {
  const index = toLogIndex(position + 1);
  if (!word.startsWith('{')) {
    return { term: toTerm(Number(word)), index, kind: 'command', payload: utf8(`c${index}`) };
  }
  const [configuration = '', term] = word.split('@');
  return {
    term: toTerm(Number(term)),
    index,
    kind: 'configuration',
    configuration: configurationOf(configuration),
  };
}
