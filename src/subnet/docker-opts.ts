/**
 * The options Docker needs, from the variables of subnet.env: as one line of arguments, as a fragment of daemon.json,
 * and as the file that flannel's mk-docker-opts.sh writes, to the byte; that one knows no IPv6. Pure.
 */
import { EXIT, type Refusal, refuse } from '../errors.ts';

/** Null is "not in subnet.env": the option is left out. */
export interface DockerOptions {
  /** `10.5.72.1/24`: the bridge's own address. */
  readonly bip: string | null;
  /** The same of a lease with an IPv6 side. */
  readonly bip6: string | null;
  readonly mtu: string | null;
  /** Docker's --ip-masq, the inverse of ours: one of the two masquerades. */
  readonly ipMasq: boolean | null;
}

export type DockerOptionsResult =
  | { readonly ok: true; readonly options: DockerOptions }
  | { readonly ok: false; readonly refusal: Refusal };

export function dockerOptions(variables: ReadonlyMap<string, string>): DockerOptionsResult {
  const masq = variables.get('FLANNEL_IPMASQ') || null;
  if (masq !== null && masq !== 'true' && masq !== 'false')
    return {
      ok: false,
      refusal: refuse(
        'invalid-subnet-file',
        EXIT.failed,
        `Invalid value of FLANNEL_IPMASQ: ${masq}`,
        'Restart the agent; it writes subnet.env anew.',
      ),
    };
  const bip = variables.get('FLANNEL_SUBNET') || null;
  const mtu = variables.get('FLANNEL_MTU') || null;
  const bip6 = variables.get('FLANNEL_IPV6_SUBNET') || null;
  return { ok: true, options: { bip, bip6, mtu, ipMasq: masq === null ? null : masq === 'false' } };
}

/** `--bip=... --mtu=... --ip-masq=...` */
export function formatArgs(options: DockerOptions): string {
  const forIpv6 = options.bip6 === null ? [] : ['--ipv6', `--fixed-cidr-v6=${options.bip6}`];
  return [...Object.values(namedArgs(options)), ...forIpv6].join(' ');
}

/** Of daemon.json: what is there already is the reader's to keep. */
export function formatJson({ bip, bip6, mtu, ipMasq }: DockerOptions): string {
  const fragment = {
    ...(bip !== null && { bip }),
    ...(mtu !== null && { mtu: Number(mtu) }),
    ...(ipMasq !== null && { 'ip-masq': ipMasq }),
    ...(bip6 !== null && { ipv6: true, 'fixed-cidr-v6': bip6 }),
  };
  return `${JSON.stringify(fragment, null, 2)}\n`;
}

/** Of the options that `--apply` gives to dockerd those that a daemon.json sets: dockerd refuses to start with both.
 *  Undefined where it is not JSON. */
export function setInDaemonJson(text: string): readonly string[] | undefined {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document !== 'object' || document === null) return undefined;
    return ['bip', 'mtu', 'ip-masq'].filter((key) => Object.hasOwn(document, key));
  } catch {
    return undefined;
  }
}

/** One variable an option, in alphabetical order as the script's `set` gives them, then all in DOCKER_OPTS. */
export function formatEnv(options: DockerOptions): string {
  const named = Object.entries(namedArgs(options)).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = named.map(([name, value]) => `${name}="${value}"\n`);
  // The script puts a blank before each option, the first one too.
  const combined = named.map(([, value]) => ` ${value}`).join('');
  return `${lines.join('')}DOCKER_OPTS="${combined}"\n`;
}

function namedArgs({ bip, mtu, ipMasq }: DockerOptions): Readonly<Record<string, string>> {
  return {
    ...(bip !== null && { DOCKER_OPT_BIP: `--bip=${bip}` }),
    ...(mtu !== null && { DOCKER_OPT_MTU: `--mtu=${mtu}` }),
    ...(ipMasq !== null && { DOCKER_OPT_IPMASQ: `--ip-masq=${ipMasq}` }),
  };
}
