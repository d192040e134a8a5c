/** The options of single commands: kept apart from the commands, so that the help is shown without loading them. */
import type { Address } from '../config/address.ts';
import { parseAddress } from '../config/address.ts';
import { TOKEN_USES_MAX } from '../config/limits.ts';
import type { MemberRole } from '../control/answers.ts';
import type { Cidr } from '../net/cidr.ts';
import { WAIT_TARGETS, type WaitTarget } from '../observe/health.ts';
import {
  addressesOption,
  durationOption,
  integerOption,
  type OptionSpec,
  subnetsOption,
  switchOption,
  textOption,
  wordOption,
} from './options.ts';

export const DETACH: OptionSpec<boolean> = switchOption(
  'detach',
  'run the agent in the background, return when it is ready',
);
export const YES: OptionSpec<boolean> = switchOption('yes', 'do it without asking');

/** The same switch, where it says what becomes of a lease. */
export const GIVE_BACK: OptionSpec<boolean> = { ...YES, help: 'also give its lease back, at once' };

export const PEERS: OptionSpec<readonly Address[]> = addressesOption(
  'peers',
  'the hosts that will be voters',
);
export const CONFIG_FILE: OptionSpec<string> = textOption(
  'config',
  'FILE',
  'network configuration, as flannel has it',
);
/** The network options stay text: the network configuration has its own words for what is wrong with them. */
export const NETWORK: OptionSpec<string> = textOption(
  'network',
  'CIDR',
  'container network (default 10.5.0.0/16)',
);
export const SUBNET_LEN: OptionSpec<string> = textOption(
  'subnet-len',
  'N',
  'prefix length of a lease (default 24)',
);
export const SUBNET_MIN: OptionSpec<string> = textOption('subnet-min', 'IP', 'first subnet to lease');
export const SUBNET_MAX: OptionSpec<string> = textOption('subnet-max', 'IP', 'last subnet to lease');
export const BACKEND: OptionSpec<string> = textOption('backend', 'host-gw|vxlan|alloc', 'default host-gw');
export const INIT_FLAGS: readonly OptionSpec<unknown>[] = [
  PEERS,
  CONFIG_FILE,
  NETWORK,
  SUBNET_LEN,
  SUBNET_MIN,
  SUBNET_MAX,
  BACKEND,
];

export const VOTER: OptionSpec<boolean> = switchOption('voter', 'join as a voter, where the token allows it');
export const LEARNER: OptionSpec<boolean> = switchOption('learner', 'join as a learner');
export const SUBNET: OptionSpec<readonly Cidr[]> = subnetsOption('subnet', 'the lease to ask for');
export const JOIN_FLAGS: readonly OptionSpec<unknown>[] = [VOTER, LEARNER, SUBNET];

export const CONTACT: OptionSpec<Address> = {
  name: 'contact',
  hint: 'ADDR',
  help: 'where to look for the cluster when addresses changed; repeatable',
  repeatable: true,
  expected: 'an address (IP, IP:PORT or [IPv6]:PORT)',
  parse: parseAddress,
};

export const WAIT: OptionSpec<WaitTarget> = wordOption('wait', WAIT_TARGETS, 'return when it holds');
export const WATCH: OptionSpec<boolean> = switchOption('watch', 'show it again whenever it changes');
export const SUBNET_FILE: OptionSpec<string> = textOption('subnet-file', 'FILE', 'where subnet.env is');
export const STATUS_FLAGS: readonly OptionSpec<unknown>[] = [WAIT, WATCH, SUBNET_FILE];

const ROLES: readonly MemberRole[] = ['voter', 'learner'];
export const ROLE: OptionSpec<MemberRole> = wordOption(
  'role',
  ROLES,
  'most that a joiner becomes (default learner)',
);
export const TTL: OptionSpec<number> = durationOption('ttl', 'how long it is good (default 24h)');
export const USES: OptionSpec<number> = integerOption(
  'uses',
  [1, TOKEN_USES_MAX],
  'how often (default: unlimited)',
);
export const TOKEN_FLAGS: readonly OptionSpec<unknown>[] = [ROLE, TTL, USES];

export const FORCE_NEW_CLUSTER: OptionSpec<boolean> = switchOption(
  'force-new-cluster',
  'make a new epoch of the cluster from this host alone',
);
export const DRY_RUN: OptionSpec<boolean> = switchOption('dry-run', 'only show what this host holds');
export const DISCARD_UNCOMMITTED: OptionSpec<boolean> = switchOption(
  'discard-uncommitted',
  'drop what is not known to be committed; the lost hosts may have acknowledged it',
);
export const RECOVER_FLAGS: readonly OptionSpec<unknown>[] = [
  FORCE_NEW_CLUSTER,
  DRY_RUN,
  DISCARD_UNCOMMITTED,
  YES,
];

export const PURGE: OptionSpec<boolean> = switchOption('purge', 'also delete the data directory');
export type DockerFormat = 'args' | 'env' | 'json' | 'dropin';
const DOCKER_FORMATS: readonly DockerFormat[] = ['args', 'env', 'json', 'dropin'];
export const FORMAT: OptionSpec<DockerFormat> = wordOption('format', DOCKER_FORMATS, 'default args');
export const APPLY: OptionSpec<boolean> = switchOption(
  'apply',
  'make the network tsflannel in the running Docker; with --format dropin: write the drop-in',
);
export const DOCKER_FLAGS: readonly OptionSpec<unknown>[] = [FORMAT, SUBNET_FILE, APPLY];
