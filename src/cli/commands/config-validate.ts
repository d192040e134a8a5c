/** `config validate FILE`: the normalised configuration, or flannel's words for what is wrong with it. Changes nothing. */
import { CONFIG_BYTES_MAX } from '../../config/limits.ts';
import { formatNetworkConfig, parseNetworkConfig } from '../../config/network-config.ts';
import { EXIT, TsflannelError } from '../../errors.ts';
import type { CommandFunction } from '../context.ts';
import { readInputFile } from '../input-file.ts';

export const configValidate: CommandFunction = async (context, [path = '']) => {
  const result = parseNetworkConfig(await readInputFile(path, CONFIG_BYTES_MAX));
  if (!result.ok) throw new TsflannelError(result.refusal);
  context.output.report({ document: result.config, text: formatNetworkConfig(result.config) });
  return EXIT.ok;
};
