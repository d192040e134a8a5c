/**
 * `docker-opts`: what dockerd has to be started with on this host, from subnet.env. Needs no agent. A file that lacks
 * something is refused: dockerd starts on a subnet of its own when `--bip` is empty.
 */
import { EXIT, type Refusal, refuse, TsflannelError } from '../../errors.ts';
import { type DockerOptions, dockerOptions, formatArgs, formatEnv } from '../../subnet/docker-opts.ts';
import { FORMAT } from '../command-flags.ts';
import type { CommandFunction } from '../context.ts';
import { readSubnetVariables, type SubnetVariables } from '../subnet-variables.ts';

export const dockerOpts: CommandFunction = async (context) => {
  const format = context.given.get(FORMAT) ?? 'args';
  const options = readOptions(await readSubnetVariables(context));
  const text = format === 'env' ? formatEnv(options) : formatArgs(options);
  context.output.report({ document: { ...options, mtu: Number(options.mtu) }, text });
  return EXIT.ok;
};

function readOptions({ path, text, variables }: SubnetVariables): DockerOptions {
  if (text === undefined) throw new TsflannelError(unusable(`${path} does not exist`));
  const result = dockerOptions(variables);
  if (!result.ok) throw new TsflannelError(result.refusal);
  const { bip, mtu } = result.options;
  if (bip === null || mtu === null)
    throw new TsflannelError(unusable(`${path} names no ${bip === null ? 'FLANNEL_SUBNET' : 'FLANNEL_MTU'}`));
  return result.options;
}

function unusable(why: string): Refusal {
  return refuse(
    'no-subnet-file',
    EXIT.failed,
    `This host has no subnet for Docker: ${why}.`,
    'Start the agent and wait with "tsflannel status --wait lease".',
  );
}
