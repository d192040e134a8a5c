/** `config get`: the network configuration in force, normalised, in flannel's own keys. */
import { EXIT } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { reportLocal } from '../local-read.ts';

export const configGet: CommandFunction = async (context) => {
  const { data, staleMs } = await context.ask('configGet', {});
  reportLocal(context, { data: data.config, staleMs }, (config) => JSON.stringify(config, null, 2));
  return EXIT.ok;
};
