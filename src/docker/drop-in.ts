/**
 * The drop-in that makes systemd start Docker on the lease: the ExecStart that is in force on this host, whoever wrote
 * it, with our options in place of those that it may have. They come from subnet.env at each start, so that the file
 * need not be made anew when the lease moves. Pure.
 */

/** In the order in which systemd applies them: the unit, then its drop-ins. */
export type UnitTexts = readonly string[];

export interface DropInOptions {
  readonly subnetFile: string;
  /** The sides that the lease has. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

/** The last ExecStart of a unit's texts, as it is written there; undefined where there is none, or it was taken back. */
export function execStart(texts: UnitTexts): string | undefined {
  const commands = texts.flatMap(serviceLines).map((line) => /^ExecStart\s*=\s*(.*)$/.exec(line)?.[1]);
  return commands.findLast((command) => command !== undefined) || undefined;
}

export function dropIn(command: string, { subnetFile, ipv4, ipv6 }: DropInOptions): string {
  const path = subnetFile.replaceAll('%', '%%');
  const given: readonly (readonly [name: string, options: string])[] = [
    ...(ipv4 ? [['FLANNEL_SUBNET', '--bip='] as const] : []),
    ['FLANNEL_MTU', '--mtu='],
    ...(ipv6 ? [['FLANNEL_IPV6_SUBNET', '--ipv6 --fixed-cidr-v6='] as const] : []),
  ];
  const required = given.map(([name]) => `"$$\{${name}:?is not in subnet.env, run tsflannel status}"`);
  const options = given.map(([name, option]) => `${option}$\{${name}}`);
  return `# Made by "tsflannel docker-opts --format dropin" from the ExecStart of this host's Docker.

[Unit]
# Wants and not Requires: an agent that is down must not take Docker with it.
Wants=tsflannel.service
After=tsflannel.service

[Service]
# A lease of before is enough, so this needs no running agent.
ExecStartPre=/usr/bin/env tsflannel status --wait lease --subnet-file ${path}
# Read again before every command of this unit; the "-" is for the first, which runs while the file may be missing.
EnvironmentFile=-${path}
# With an empty --bip dockerd would start on a subnet of its own choice.
ExecStartPre=/bin/sh -c ': ${required.join(' ')}'
ExecStart=
ExecStart=${withoutOurs(command)} ${options.join(' ')}
`;
}

/** What we give, dockerd must be given once; flannel's users have them here by hand. */
function withoutOurs(command: string): string {
  const value = String.raw`("[^"]*"|'[^']*'|\S+)`;
  return command
    .replace(new RegExp(String.raw`\s+--(bip|mtu|fixed-cidr-v6)(=|\s+)${value}`, 'g'), '')
    .replace(/\s+--ipv6(=\S+)?(?=\s|$)/g, '');
}

/** Of the section [Service], continued lines joined, without comments. */
function serviceLines(text: string): readonly string[] {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*[#;]/.test(line))
    .join('\n')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.trim());
  let section = '';
  return lines.filter((line) => {
    const [, name] = /^\[(.+)\]$/.exec(line) ?? [];
    section = name ?? section;
    return section === 'Service' && name === undefined;
  });
}
