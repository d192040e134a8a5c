/** `init`: a new cluster on this host, and its agent. The network is checked before anything is touched. */
import { CONFIG_BYTES_MAX } from '../../config/limits.ts';
import {
  type NetworkConfig,
  type NetworkOptions,
  networkConfigFromOptions,
} from '../../config/network-config.ts';
import { type Refusal, TsflannelError } from '../../errors.ts';
import {
  BACKEND,
  CONFIG_FILE,
  NETWORK,
  PEERS,
  SUBNET_LEN,
  SUBNET_MAX,
  SUBNET_MIN,
} from '../command-flags.ts';
import type { CommandFunction, Context } from '../context.ts';
import type { Given } from '../given.ts';
import { readInputFile } from '../input-file.ts';
import { initReport } from '../ready-text.ts';
import { start } from '../start.ts';

export const init: CommandFunction = async (context) => {
  const peers = context.given.get(PEERS) ?? [];
  const network = await readNetwork(context);
  return await start(context, {
    launch: (launcher, options) => launcher.init({ ...options, peers, network }),
    report: initReport,
    secret: null,
    becomesService: true,
  });
};

async function readNetwork({ given }: Context): Promise<NetworkConfig> {
  const path = given.get(CONFIG_FILE);
  const file = path === undefined ? undefined : await readInputFile(path, CONFIG_BYTES_MAX);
  const result = networkConfigFromOptions(networkOptions(given), file);
  if (result.ok) return result.config;
  throw new TsflannelError(path === undefined ? result.refusal : ofFile(path, result.refusal));
}

/** The texts are flannel's and name no file. */
function ofFile(path: string, refusal: Refusal): Refusal {
  return { ...refusal, text: `${path}: ${refusal.text}` };
}

function networkOptions(given: Given): NetworkOptions {
  const options: { -readonly [K in keyof NetworkOptions]: NetworkOptions[K] } = {};
  const put = (key: keyof NetworkOptions, text: string | undefined): void => {
    if (text !== undefined) options[key] = text;
  };
  put('network', given.get(NETWORK));
  put('subnetLen', given.get(SUBNET_LEN));
  put('subnetMin', given.get(SUBNET_MIN));
  put('subnetMax', given.get(SUBNET_MAX));
  put('backend', given.get(BACKEND));
  return options;
}
