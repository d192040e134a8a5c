/**
 * Keeps our nftables table at what is wanted. The table is read as nft prints it and compared without white space;
 * what differs is replaced whole, in one transaction, so there is no moment without rules. Never touches another
 * table. An nft that spells a rule in its own way is asked once what it made of ours, and believed from then on.
 */
import { type Exec, output } from './exec.ts';
import { NFT_TABLE } from './rules.ts';

/** Adding a table that exists is no error, so this works whether it does or not. */
const DROP_TABLE = `table ip ${NFT_TABLE}\ndelete table ip ${NFT_TABLE}\n`;

export class Nftables {
  readonly #exec: Exec;
  /** How the tool prints what was written last. */
  #spelling: { readonly wanted: string; readonly printed: string } | null = null;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** Resolves to whether it wrote. */
  async apply(wanted: string): Promise<boolean> {
    const printed = await this.#read();
    if (printed === normal(wanted)) return false;
    if (wanted === this.#spelling?.wanted && printed === this.#spelling.printed) return false;
    await output(this.#exec, ['nft', '-f', '-'], DROP_TABLE + wanted);
    this.#spelling = { wanted, printed: await this.#read() };
    return true;
  }

  /** Throws TsflannelError where nft does not run. */
  async check(): Promise<void> {
    await output(this.#exec, ['nft', 'list', 'tables']);
  }

  async remove(): Promise<void> {
    await output(this.#exec, ['nft', '-f', '-'], DROP_TABLE);
  }

  /** Empty where there is no such table, and where it cannot be read: writing it will tell why. */
  async #read(): Promise<string> {
    const { code, stdout } = await this.#exec(['nft', 'list', 'table', 'ip', NFT_TABLE]);
    return code === 0 ? normal(stdout) : '';
  }
}

function normal(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
