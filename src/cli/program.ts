/**
 * The tree of commands: their names, arguments and options, each with the module that carries it out, loaded only when
 * it is called. Commander splits the words and writes the help; values are read by `Given`. Adding a command is adding
 * it here and writing its file.
 */
import { Command, type CommanderError, Option, type OutputConfiguration } from 'commander';
import { EXIT, type Refusal, refuse } from '../errors.ts';
import { AGENT_FLAGS } from './agent-flags.ts';
import {
  CONTACT,
  DETACH,
  DOCKER_FLAGS,
  GIVE_BACK,
  INIT_FLAGS,
  JOIN_FLAGS,
  PURGE,
  RECOVER_FLAGS,
  STATUS_FLAGS,
  TOKEN_FLAGS,
  YES,
} from './command-flags.ts';
import type { CommandFunction } from './context.ts';
import { GLOBAL_OPTIONS, type OptionHelp, parseBoolean } from './options.ts';

interface CommandSpec {
  /** With its arguments, as commander writes them. */
  readonly usage: string;
  /** Where that says too little. */
  readonly synopsis?: string;
  readonly summary: string;
  readonly flags?: readonly OptionHelp[];
  /** Shown below the help. */
  readonly examples?: readonly string[];
  readonly load: () => Promise<CommandFunction>;
}

interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly CommandSpec[];
}

const START: readonly CommandSpec[] = [
  {
    usage: 'init',
    summary: 'make a new cluster on this host and run its agent',
    flags: [DETACH, ...INIT_FLAGS, ...AGENT_FLAGS],
    load: async () => (await import('./commands/init.ts')).init,
  },
  {
    usage: 'join [words...]',
    synopsis: '[options] TOKEN ADDR [ADDR...]',
    summary: 'join a cluster and run the agent; TOKEN may be - (standard input), @FILE or TSFLANNEL_TOKEN',
    flags: [DETACH, ...JOIN_FLAGS, ...AGENT_FLAGS],
    load: async () => (await import('./commands/join.ts')).join,
  },
  {
    usage: 'agent',
    summary: 'run the agent of a host that is a member',
    flags: [DETACH, CONTACT, ...AGENT_FLAGS],
    load: async () => (await import('./commands/agent.ts')).agent,
  },
];

const DAILY: readonly (CommandSpec | CommandGroup)[] = [
  {
    usage: 'status',
    summary: 'health of this host, its lease and its peers',
    flags: STATUS_FLAGS,
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    usage: 'members',
    summary: 'the hosts of the cluster',
    load: async () => (await import('./commands/members.ts')).members,
  },
  {
    name: 'member',
    summary: 'who votes, who leads, who has to go; NODE is a name or id, or the beginning of one',
    commands: [
      {
        usage: 'promote <node>',
        summary: 'make a learner a voter; voters come in pairs',
        examples: ['tsflannel member promote host-d', 'tsflannel member promote 3f2a'],
        load: async () => (await import('./commands/member-promote.ts')).memberPromote,
      },
      {
        usage: 'demote <node>',
        summary: 'make a voter a learner, in the change that makes another one a voter',
        examples: ['tsflannel member demote host-b'],
        load: async () => (await import('./commands/member-demote.ts')).memberDemote,
      },
      {
        usage: 'remove <node>',
        summary: 'take a host that will not come back out of the cluster',
        flags: [GIVE_BACK],
        examples: [
          'tsflannel member remove host-c          its subnet stays reserved for it',
          'tsflannel member remove host-c --yes    its subnet may go to another host',
        ],
        load: async () => (await import('./commands/member-remove.ts')).memberRemove,
      },
      {
        usage: 'transfer-leader [node]',
        summary: 'let another voter lead; the leader chooses unless one is named',
        examples: ['tsflannel member transfer-leader', 'tsflannel member transfer-leader host-b'],
        load: async () => (await import('./commands/member-transfer-leader.ts')).memberTransferLeader,
      },
    ],
  },
  {
    usage: 'leases',
    summary: 'which host holds which subnet',
    load: async () => (await import('./commands/leases.ts')).leases,
  },
  {
    usage: 'routes',
    summary: 'the routes of this host to the subnets of the others',
    load: async () => (await import('./commands/routes.ts')).routes,
  },
  {
    usage: 'paths [peer]',
    summary: 'both ways to the others, what probes say of them, and which one is used',
    examples: ['tsflannel paths', 'tsflannel paths host-b'],
    load: async () => (await import('./commands/paths.ts')).paths,
  },
  {
    name: 'config',
    summary: 'the network configuration',
    commands: [
      {
        usage: 'get',
        summary: 'print it',
        load: async () => (await import('./commands/config-get.ts')).configGet,
      },
      {
        usage: 'validate <file>',
        summary: 'check a file without changing anything; needs no agent',
        load: async () => (await import('./commands/config-validate.ts')).configValidate,
      },
    ],
  },
  {
    name: 'token',
    summary: 'who may join',
    commands: [
      {
        usage: 'create',
        summary: 'make a token and print the line to join with',
        flags: TOKEN_FLAGS,
        load: async () => (await import('./commands/token-create.ts')).tokenCreate,
      },
      {
        usage: 'list',
        summary: 'the tokens that are still good, without their secrets',
        load: async () => (await import('./commands/token-list.ts')).tokenList,
      },
      {
        usage: 'revoke <id>',
        summary: 'nobody joins with it any more',
        load: async () => (await import('./commands/token-revoke.ts')).tokenRevoke,
      },
    ],
  },
  {
    usage: 'leave',
    summary: 'give the lease back, leave the cluster, clean this host up',
    flags: [YES],
    load: async () => (await import('./commands/leave.ts')).leave,
  },
  {
    usage: 'down',
    summary: 'remove the routes, devices and rules of this host',
    flags: [PURGE, YES],
    load: async () => (await import('./commands/down.ts')).down,
  },
  {
    name: 'snapshot',
    summary: 'the state of the cluster as a file',
    commands: [
      {
        usage: 'save <file>',
        summary: 'write what this host knows of the cluster to a file',
        load: async () => (await import('./commands/snapshot-save.ts')).snapshotSave,
      },
      {
        usage: 'inspect <file>',
        summary: 'verify a file and show what it holds; needs no agent',
        load: async () => (await import('./commands/snapshot-inspect.ts')).snapshotInspect,
      },
      {
        usage: 'restore <file>',
        summary: 'begin the cluster anew on this host, from a file; no agent may run',
        flags: [YES, ...AGENT_FLAGS],
        load: async () => (await import('./commands/snapshot-restore.ts')).snapshotRestore,
      },
    ],
  },
  {
    usage: 'recover',
    summary: 'begin the cluster anew on this host, after a quorum is lost for good; no agent may run',
    flags: RECOVER_FLAGS,
    load: async () => (await import('./commands/recover.ts')).recover,
  },
  {
    usage: 'docker-opts',
    summary: 'put Docker on the lease of this host: its options, or a network for docker compose',
    flags: DOCKER_FLAGS,
    examples: [
      'dockerd $(tsflannel docker-opts)              docker0 has the lease',
      'tsflannel docker-opts --format dropin --apply the same, at the next start of docker.service',
      'tsflannel docker-opts --apply                 a Docker network "tsflannel" has it, without a restart',
    ],
    load: async () => (await import('./commands/docker-opts.ts')).dockerOpts,
  },
  {
    usage: 'version',
    summary: 'the version of this program',
    load: async () => (await import('./commands/version.ts')).version,
  },
];

export type Dispatch = (load: () => Promise<CommandFunction>, command: Command) => Promise<void>;

export function buildProgram(version: string, dispatch: Dispatch, output: OutputConfiguration): Command {
  const program = new Command('tsflannel');
  // What is set here holds for every command below it.
  program
    .exitOverride()
    .configureOutput(output)
    .configureHelp({ showGlobalOptions: true })
    .helpOption('-h, --help', 'what it does')
    .description('A container network for Docker hosts: flannel without etcd.')
    .version(version, '--version', 'the version of this program')
    .helpCommand('help [command]', 'what a command does')
    .addHelpText(
      'after',
      '\nEvery option is also the environment variable TSFLANNEL_<NAME>; a flag wins over it.',
    );
  addOptions(program, GLOBAL_OPTIONS);
  program.commandsGroup('First contact:');
  for (const spec of START) addCommand(program, spec, dispatch);
  program.commandsGroup('Daily use:');
  for (const spec of DAILY) {
    if ('usage' in spec) addCommand(program, spec, dispatch);
    else addGroup(program, spec, dispatch);
  }
  return program;
}

/** `--switch=true` and `--switch=false`, as flannel's users write them, in the words that commander knows. */
export function normaliseSwitches(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((word, i) => {
    const match = end >= 0 && i > end ? null : /^--([a-z0-9-]+)=(.*)$/s.exec(word);
    const [, name, value] = match ?? [];
    const option = SWITCHES.get(name ?? '');
    if (option === undefined || value === undefined) return word;
    const on = parseBoolean(value);
    return on === undefined ? word : on ? `--${option.name}` : `--no-${option.name}`;
  });
}

/** Undefined for what is no failure: help and version were asked for and printed. */
export function usageRefusal(error: CommanderError): Refusal | undefined {
  if (error.exitCode === 0) return undefined;
  if (error.code === 'commander.help')
    return refuse('usage', EXIT.usage, 'A command is missing.', 'See "tsflannel --help".');
  const [first = '', ...rest] = error.message.split('\n');
  const text = first.replace(/^error: /, '').replace(/\.?$/, '.');
  const suggestion = /\(Did you mean (?:one of )?(.*)\?\)/.exec(rest.join(' '))?.[1];
  const fix =
    suggestion === undefined
      ? 'See "tsflannel --help", or --help after the command.'
      : `Did you mean ${suggestion}?`;
  return refuse('usage', EXIT.usage, `${text.charAt(0).toUpperCase()}${text.slice(1)}`, fix);
}

const SWITCHES: ReadonlyMap<string, OptionHelp> = new Map(
  [
    ...GLOBAL_OPTIONS,
    ...[...START, ...DAILY]
      .flatMap((spec) => ('usage' in spec ? [spec] : spec.commands))
      .flatMap((spec) => spec.flags ?? []),
  ]
    .filter((option) => option.hint === null)
    .map((option) => [option.name, option]),
);

function addGroup(program: Command, group: CommandGroup, dispatch: Dispatch): void {
  const command = program.command(group.name).summary(group.summary).description(group.summary);
  for (const spec of group.commands) addCommand(command, spec, dispatch);
}

function addCommand(parent: Command, spec: CommandSpec, dispatch: Dispatch): void {
  const command = parent.command(spec.usage).summary(spec.summary).description(spec.summary);
  if (spec.synopsis !== undefined) command.usage(spec.synopsis);
  addOptions(command, spec.flags ?? []);
  if (spec.examples !== undefined)
    command.addHelpText('after', ['', 'Examples:', ...spec.examples.map((line) => `  ${line}`)].join('\n'));
  command.action(() => dispatch(spec.load, command));
}

function addOptions(command: Command, options: readonly OptionHelp[]): void {
  for (const { name, hint, help, repeatable } of options) {
    const option = new Option(hint === null ? `--${name}` : `--${name} <${hint}>`, help);
    if (repeatable === true)
      option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
    command.addOption(option);
    if (hint === null) command.addOption(new Option(`--no-${name}`).hideHelp());
  }
}
