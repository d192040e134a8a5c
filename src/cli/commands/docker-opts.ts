/**
 * `docker-opts`: what dockerd has to be started with on this host, from subnet.env, and with --apply Docker itself is
 * put on the lease. Needs no agent. A file that lacks something is refused: dockerd starts on a subnet of its own when
 * `--bip` is empty.
 */
import { DockerUnit } from '../../docker/docker-unit.ts';
import { EXIT, type Refusal, refuse, TsflannelError } from '../../errors.ts';
import {
  type DockerOptions,
  dockerOptions,
  formatArgs,
  formatEnv,
  formatJson,
} from '../../subnet/docker-opts.ts';
import { APPLY, type DockerFormat, FORMAT } from '../command-flags.ts';
import type { CommandFunction, Context } from '../context.ts';
import { type Applied, applyDropIn, applyNetwork, dropInText, requireFreeOptions } from '../docker-apply.ts';
import { readSubnetVariables, type SubnetVariables } from '../subnet-variables.ts';

export const dockerOpts: CommandFunction = async (context) => {
  const format = context.given.get(FORMAT);
  const file = await readSubnetVariables(context);
  const options = readOptions(file);
  const unit = new DockerUnit();
  if (context.given.get(APPLY) === true) {
    const { text, ...document } = await apply(context, format, { options, unit, subnetFile: file.path });
    context.output.report({ document, text });
  } else {
    const text = await textIn(format ?? 'args', { options, unit, subnetFile: file.path });
    context.output.report({ document: { ...options, mtu: Number(options.mtu) }, text });
  }
  return EXIT.ok;
};

interface Wanted {
  readonly options: DockerOptions;
  readonly unit: DockerUnit;
  readonly subnetFile: string;
}

async function textIn(format: DockerFormat, { options, unit, subnetFile }: Wanted): Promise<string> {
  switch (format) {
    case 'args':
      return formatArgs(options);
    case 'env':
      return formatEnv(options);
    case 'json':
      return formatJson(options);
    case 'dropin':
      return await dropInText(options, subnetFile, unit);
  }
}

async function apply(
  { terminal }: Context,
  format: DockerFormat | undefined,
  { options, unit, subnetFile }: Wanted,
): Promise<Applied> {
  if (format !== undefined && format !== 'dropin') throw new TsflannelError(notApplicable(format));
  await requireFreeOptions(unit);
  return format === undefined
    ? await applyNetwork(options, unit, terminal.environment)
    : await applyDropIn(options, subnetFile, unit, terminal.environment);
}

function readOptions({ path, text, variables }: SubnetVariables): DockerOptions {
  if (text === undefined) throw new TsflannelError(unusable(`${path} does not exist`));
  const result = dockerOptions(variables);
  if (!result.ok) throw new TsflannelError(result.refusal);
  const { bip, bip6, mtu } = result.options;
  if (bip === null && bip6 === null) throw new TsflannelError(unusable(`${path} names no FLANNEL_SUBNET`));
  if (mtu === null) throw new TsflannelError(unusable(`${path} names no FLANNEL_MTU`));
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

function notApplicable(format: DockerFormat): Refusal {
  return refuse(
    'usage',
    EXIT.usage,
    `--apply does nothing with --format ${format}.`,
    'Give it alone for a Docker network, or with --format dropin for docker0.',
  );
}
